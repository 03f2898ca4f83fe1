import json
import os
import pwd
import shutil
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeport.errors import Unavailable
from homeport.instance.address import QUARANTINE, Addresses
from homeport.system.home import Home


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@pytest.fixture
def clock() -> Hand:
    return Hand()


def addresses(tmp_path: Path, clock: Hand, name: str = "one") -> Addresses:
    home = Home(tmp_path / name, tmp_path / f"{name}-runtime")
    home.create()
    return Addresses(home, clock, machine=tmp_path / "machine")


def test_a_claim_is_kept_over_restarts(tmp_path: Path, clock: Hand) -> None:
    first = addresses(tmp_path, clock)
    claimed = (first.instance("shop/web-1"), first.port("shop/web-1/web"), first.uid("shop"), first.balancer("web"))
    again = addresses(tmp_path, clock)
    assert claimed == (
        again.instance("shop/web-1"),
        again.port("shop/web-1/web"),
        again.uid("shop"),
        again.balancer("web"),
    )
    assert set(again.all()) == set(first.all())
    assert len(again.all()) == 4


def test_what_stands_there_is_not_written_again(tmp_path: Path, clock: Hand) -> None:
    """So that an engine comes back on a full disk."""
    addresses(tmp_path, clock).port("shop/web-1/web")
    files = (tmp_path / "one/addresses.json", *(tmp_path / "machine").glob("*.json"))
    before = [each.stat().st_ino for each in files]
    assert len(before) == 2
    again = addresses(tmp_path, clock)
    again.show()
    assert [each.stat().st_ino for each in files] == before


def test_two_homes_never_meet(tmp_path: Path, clock: Hand) -> None:
    one, two = addresses(tmp_path, clock), addresses(tmp_path, clock, "two")
    for number in range(5):
        for each in (one, two):
            for claim in (each.instance, each.balancer, each.port, each.uid, each.public_port):
                claim(f"key-{number}")
    values = [(each.kind, each.value) for home in (one, two) for each in home.all()]
    assert len(values) == len(set(values)) == 50


def test_racing_threads_of_two_homes_never_meet(tmp_path: Path, clock: Hand) -> None:
    homes = [addresses(tmp_path, clock, name) for name in ("one", "two")]
    found: list[str] = []

    def claim(home: Addresses, thread: int) -> None:
        found.extend(home.instance(f"{thread}-{number}") for number in range(10))

    threads = [threading.Thread(target=claim, args=(homes[n % 2], n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(set(found)) == 40


def test_a_port_rests_before_it_is_given_out_again(
    tmp_path: Path, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeport.instance.address.PORTS", range(29990, 29993))
    monkeypatch.setattr("homeport.instance.address.port_is_free", lambda _: True)
    one, two = addresses(tmp_path, clock), addresses(tmp_path, clock, "two")
    assert [one.port("a"), one.port("b"), two.port("c")] == [29990, 29991, 29992]
    one.release("a")
    with pytest.raises(Unavailable):
        two.port("d")
    with pytest.raises(Unavailable):
        addresses(tmp_path, clock).port("d")
    clock.at += QUARANTINE + timedelta(seconds=1)
    assert two.port("d") == 29990


def test_a_port_that_somebody_uses_is_left_alone(tmp_path: Path, clock: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener, socket.socket(socket.AF_INET6) as other:
        listener.bind(("127.8.9.10", 0))
        listener.listen()
        other.bind(("::1", 0))
        other.listen()
        used = [each.getsockname()[1] for each in (listener, other)]
        monkeypatch.setattr("homeport.instance.address.PUBLIC_PORTS", used)
        with pytest.raises(Unavailable, match="no public_port is free for shop"):
            addresses(tmp_path, clock).public_port("shop")


def test_release_takes_what_lies_below_a_key(tmp_path: Path, clock: Hand) -> None:
    one = addresses(tmp_path, clock)
    for key in ("shop/web-1", "shop/web-1/web", "shop/web-10"):
        one.port(key)
    one.release("shop/web-1")
    one.release("shop/web-1")
    assert [each.key for each in one.all()] == ["shop/web-10"]


def test_an_emptied_directory_is_filled_again(tmp_path: Path, clock: Hand) -> None:
    one = addresses(tmp_path, clock)
    address = one.instance("a")
    shutil.rmtree(tmp_path / "machine")
    one.show()
    assert addresses(tmp_path, clock, "two").instance("b") != address


def test_claims_of_a_home_that_is_gone_expire(tmp_path: Path, clock: Hand) -> None:
    two = addresses(tmp_path, clock, "two")
    address = two.instance("a")
    one = addresses(tmp_path, clock)
    assert one.instance("a") != address
    shutil.rmtree(tmp_path / "two")
    assert one.instance("b") == address
    assert len(list((tmp_path / "machine").glob("*.json"))) == 1


def test_garbage_of_others_is_tolerated(tmp_path: Path, clock: Hand) -> None:
    address = addresses(tmp_path, clock).instance("a")
    machine = tmp_path / "machine"
    good = json.dumps({"home": "/", "claims": [["instance", "x", "127.64.0.9"]]})
    (machine / f"{os.getuid()}-bad.json").write_text("{")
    (machine / f"{os.getuid() + 1}-lie.json").write_text(good.replace("127.64.0.9", address))
    (machine / f"{os.getuid()}-link.json").symlink_to("/etc/passwd")
    os.mkfifo(machine / f"{os.getuid()}-pipe.json")
    (machine / "x-y.json").write_text(good)
    assert addresses(tmp_path, clock, "two").instance("b") == "127.64.0.2"


def test_a_machine_directory_that_cannot_be_used_is_said(tmp_path: Path, clock: Hand) -> None:
    (tmp_path / "machine").write_text("")
    with pytest.raises(Unavailable, match=r"can't lock .*machine/lock") as caught:
        addresses(tmp_path, clock)
    assert caught.value.hint == f"sudo rm -r {tmp_path}/machine"


def test_a_home_that_was_not_seen_takes_another_private_address(tmp_path: Path, clock: Hand) -> None:
    """After a reboot that has emptied the shared directory, another home came back sooner."""
    one = addresses(tmp_path, clock)
    kept = (one.balancer("shop/web"), one.uid("shop"), one.public_port("shop"))
    shutil.rmtree(tmp_path / "machine")
    other = addresses(tmp_path, clock, "two")
    assert other.balancer("blog/web") == kept[0]

    again = addresses(tmp_path, clock)
    assert again.balancer("shop/web") not in (kept[0], other.balancer("blog/web"))
    assert (again.uid("shop"), again.public_port("shop")) == kept[1:]
    assert addresses(tmp_path, clock, "two").balancer("blog/web") == kept[0]


def test_a_uid_under_which_something_runs_is_nobodys(
    tmp_path: Path, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as another home's instances, whose claims somebody has removed."""
    own = os.getuid()
    monkeypatch.setattr("homeport.instance.address.UIDS", range(own, own + 50))
    monkeypatch.setattr(pwd, "getpwall", list)
    assert int(addresses(tmp_path, clock).uid("shop")) > own


def test_a_generation_gets_all_at_once_and_keeps_its_address(tmp_path: Path, clock: Hand) -> None:
    one, two = addresses(tmp_path, clock, "one"), addresses(tmp_path, clock, "two")
    address, ports = one.generation("shop/web-1", 1, ("web", "admin"))
    assert one.generation("shop/web-1", 1, ("web", "admin")) == (address, ports)
    assert len(set(ports.values())) == 2
    assert (one.instance("shop/web-1"), one.port("shop/web-1/1/admin")) == (address, ports["admin"])
    again, later = one.generation("shop/web-1", 2, ("web",))
    assert again == address
    assert later["web"] not in ports.values()
    elsewhere, theirs = two.generation("shop/web-1", 1, ("web",))
    assert elsewhere != address
    assert theirs["web"] not in {*ports.values(), *later.values()}
