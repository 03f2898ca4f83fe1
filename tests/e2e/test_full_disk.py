"""The engine's own disk is full, its records' too: what runs is kept well, everything says what to type, gc makes room,
and the rest goes on by itself."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from homeport.system.clock import SystemClock
from tests.app_repository import commit, make_repository, replaced
from tests.e2e.person import ARGV, FILE, Person
from tests.e2e.role import ROOT, wait_for

PATIENCE_SECONDS = 30
SIZE = "40m"
ORPHAN = f"store/plain/layers/{'0' * 64}.tar.zst"


WRITES = """async def health(writer: Writer) -> None:
    if os.path.exists("/home/writes"):
        with open("/home/more", "ab") as file:
            file.write(bytes(100_000))
"""


class Disk:
    """A small one, which only those see who enter a namespace of its own: no rights are needed for it. `seen`: its
    directory, from outside."""

    def __init__(self, place: Path, holder: "subprocess.Popen[str]") -> None:
        self.place = place
        self.holder = holder.pid
        self.seen = Path(f"/proc/{holder.pid}/root{place}")

    def program(self, directory: Path) -> tuple[str, ...]:
        """The installed one, on this disk."""
        user = () if ROOT else ("--user", "--preserve-credentials")
        enter = ("nsenter", f"--target={self.holder}", "--mount", *user)
        return (*enter, "sh", "-c", 'cd "$0" && exec "$@"', str(directory), *ARGV)

    def fill(self) -> None:
        """There is no room for anything more."""
        with (self.seen / "fat").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def empty(self) -> None:
        (self.seen / "fat").unlink()


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Disk]:
    (place / "home").mkdir(parents=True)  # other homes take what one claims that isn't there for its own
    namespaces = ("--mount",) if ROOT else ("--mount", "--user", "--map-current-user", "--keep-caps")
    stay = "exec setpriv --pdeathsig KILL sleep infinity"
    shell = f'mount -t tmpfs -o size="$1",mode=700 tmpfs "$2" && echo mounted && {stay}'
    argv = ("unshare", *namespaces, "sh", "-c", shell, "sh", SIZE, str(place))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "mounted\n"
            yield Disk(place, holder)
        finally:
            holder.kill()


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    with small_disk(tmp_path_factory.mktemp("full") / "disk") as made:
        yield made


@pytest.fixture(scope="module")
def person(disk: Disk) -> Iterator[Person]:
    file = FILE.replace("instances = 2", "instances = 1")
    edits = {"homeport.toml": file, "Procfile": "web: exec python3 web.py\n"}
    app = make_repository("plain", disk.place.parent, edits=edits)
    commit(app, replaced(app, "web.py", "async def health(writer: Writer) -> None:\n", f"{WRITES}"))
    found = Person(app, disk.place / "home", program=disk.program(app))
    try:
        assert "nearly full" in found("up")
        yield found
    finally:
        found.leave()


def engine(person: Person) -> int | None:
    """The daemon's pid; None: it doesn't answer."""
    out, _ = person.begin("engine", "status", "--json").communicate()
    pid = json.loads(out).get("pid")
    return None if pid is None else int(pid)


def healed(person: Person, dead: str) -> bool:
    return any(each["id"] != dead and each["target"] == "ready" for each in person.instances())


def serves(person: Person, what: str) -> bool:
    try:
        return person.get("/").startswith(what)
    except OSError:
        return False


def test_what_runs_is_kept_well_and_the_engine_comes_back(disk: Disk, person: Person) -> None:
    disk.fill()
    (instance,) = person.instances()
    os.kill(instance["pid"], signal.SIGKILL)
    wait_for(lambda: healed(person, instance["id"]), "another instance serves", PATIENCE_SECONDS)
    disk.fill()
    daemon = engine(person)
    assert daemon
    # as where others fill the disk while it has just given up what it kept for itself
    (disk.seen / "home/reserve").unlink(missing_ok=True)
    disk.fill()
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: engine(person) not in (None, daemon), "the engine is back", PATIENCE_SECONDS)
    disk.fill()
    wait_for(lambda: serves(person, "plain 1 r1 "), "it serves", PATIENCE_SECONDS)
    wait_for(lambda: [each["target"] for each in person.instances()] == ["ready"], "one alone", PATIENCE_SECONDS)
    disk.empty()
    person("gc")
    assert (disk.seen / "home/reserve").exists(), "kept again"


def test_everything_says_so_and_what_to_type(disk: Disk, person: Person) -> None:
    disk.fill()
    assert person.document("status")["disk"]["nearly_full"]
    assert "nearly full: make room  → homeport gc" in person("status")
    checks = {each["name"]: each for each in person.document("doctor", code=6)["checks"]}
    assert (checks["disk"]["ok"], checks["disk"]["mend"].partition(" #")[0].strip()) == (False, "homeport gc")
    commit(person.app, {"big": os.urandom(3_000_000).hex()})  # more than the engine may just be keeping for itself
    error = person.document("deploy", code=5)["error"]
    assert error["kind"] == "unavailable"
    assert error["hint"].startswith("homeport gc")
    assert [each["release"] for each in person.document("release", "list")["releases"]] == ["r1"]


def test_gc_makes_room_and_everything_goes_on(disk: Disk, person: Person) -> None:
    disk.empty()
    orphan = disk.seen / "home" / ORPHAN
    orphan.write_bytes(b"nothing names it")
    at = (SystemClock().now() - timedelta(days=2)).timestamp()
    os.utime(orphan, (at, at))
    disk.fill()
    assert person.document("gc")["problems"] == []
    assert not orphan.exists()
    disk.empty()
    commit(person.app, {"big": None, "news": "two"})
    assert "r2 is good" in person("deploy")
    assert serves(person, "plain 1 r2 ")


def test_an_instance_that_cannot_write_is_told_from_a_sick_one(disk: Disk, person: Person) -> None:
    wait_for(lambda: len(person.instances()) == 1, "the old one's end", PATIENCE_SECONDS)
    (instance,) = person.instances()
    person("exec", instance["id"], "--", "touch", "/home/writes")

    def told() -> bool:
        disk.fill()  # the engine may just have given up what it kept
        return "disk full" in person("why", instance["id"])

    wait_for(told, "the illness", PATIENCE_SECONDS)
    disk.empty()
    wait_for(lambda: [each["check"] for each in person.instances()] == ["healthy"], "well again", PATIENCE_SECONDS)
    (now,) = person.instances()
    person("exec", now["id"], "--", "rm", "-f", "/home/writes", "/home/more")
    assert [each["breakers"] for each in person.document("status")["apps"][0]["groups"]] == [[]]


def test_no_release_is_blamed_for_a_full_disk(disk: Disk, person: Person) -> None:
    """That the release fills it itself makes the test simple, and nobody can know. By the verdict there is room."""
    fills = "dd if=/dev/zero of=/home/fat bs=64k status=none; sync; sleep 4; rm /home/fat"
    greedy = f"web: test -e /home/once || {{ {fills}; touch /home/once; }}; exec sleep 60\n"
    before = person.get("/").split()[2]
    commit(person.app, {"Procfile": greedy} | replaced(person.app, "homeport.toml", 'grace = "30s"', 'grace = "7s"'))
    error = person.document("deploy", code=6)["error"]
    assert "on a full disk" in error["message"]
    assert error["hint"] == "make room, then deploy again: homeport gc"
    newest = max(person.document("deployment", "list")["deployments"], key=lambda each: each["number"])
    assert newest["verdict"] == "infrastructure"
    wait_for(lambda: serves(person, f"plain 1 {before} "), "the release before", PATIENCE_SECONDS)
