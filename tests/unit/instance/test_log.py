import os
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.instance import log
from homeport.ports.engine import LogQuery
from homeport.system.clock import SystemClock

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def write(directory: Path, name: str, *lines: tuple[float, str]) -> Path:
    """A log's file; each line (seconds after AT, text)."""
    directory.mkdir(parents=True, exist_ok=True)
    stamped = (
        (AT + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-1] + f" {text}\n"
        for seconds, text in lines
    )
    (directory / name).write_text("".join(stamped))
    return directory / name


def texts(directory: Path, **query: object) -> list[str]:
    return [line.text for line in log.read(directory, LogQuery(**query))]  # type: ignore[arg-type]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write(tmp_path / "web-1/web", "@400000006b0178d718e0ef44.s", (0, "a"), (2, "c"))
    write(tmp_path / "web-1/web", "current", (4, "e"))
    write(tmp_path / "web-2/web", "current", (1, "b"), (5, ""))
    write(tmp_path / "jobs-1/worker", "current", (3, "d"))
    return tmp_path


def test_lines_come_in_order_of_time(logs: Path) -> None:
    found = list(log.read(logs, LogQuery()))
    assert [line.text for line in found] == ["a", "b", "c", "d", "e", ""]
    assert (found[3].instance, found[3].process, found[3].at) == ("jobs-1", "worker", AT + timedelta(seconds=3))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"instance": "web-1"}, "ace"),
        ({"process": "worker"}, "d"),
        ({"pattern": "[ad]"}, "ad"),
        ({"since_at": AT + timedelta(seconds=2)}, "cde"),
        ({"last": 3}, "de"),
        ({"last": 0}, ""),
        ({"last": 1, "pattern": "a"}, "a"),
        ({"last": 2, "instance": "web-1"}, "ce"),
        ({"instance": "web-3"}, ""),
    ],
)
def test_query(logs: Path, query: dict[str, object], expected: str) -> None:
    assert "".join(texts(logs, **query)) == expected


def test_wanted_chooses_instances(logs: Path) -> None:
    found = log.read(logs, LogQuery(), wanted=lambda instance: instance.startswith("jobs"))
    assert [line.text for line in found] == ["d"]


def test_a_bad_pattern_is_said_at_once(logs: Path) -> None:
    with pytest.raises(Invalid, match="log pattern"):
        log.read(logs, LogQuery(pattern="("))


def test_no_directory_is_no_lines(tmp_path: Path) -> None:
    assert texts(tmp_path / "missing") == []


def test_lines_without_a_time_take_that_of_the_line_before(tmp_path: Path) -> None:
    path = write(tmp_path / "web-1/web", "current", (0, "a"))
    path.write_bytes(path.read_bytes() + b"plain \xff\n9999-99-99T99:99:99.99999 odd\nend")
    found = list(log.read(tmp_path, LogQuery()))
    assert [line.text for line in found] == ["a", "plain \N{REPLACEMENT CHARACTER}", "odd", "end"]
    assert {line.at for line in found} == {AT}


def test_planted_links_and_pipes_are_passed_over(logs: Path) -> None:
    (logs / "web-3").symlink_to(logs / "web-1")
    (logs / "web-2/link").symlink_to(logs / "web-1/web")
    (logs / "web-2/web/@400000000000000000000000.s").symlink_to("/etc/passwd")
    os.mkfifo(logs / "web-2/web/@400000000000000000000001.s")
    assert texts(logs) == ["a", "b", "c", "d", "e", ""]


def talk(directory: Path, count: int) -> None:
    """svlogd, with small files, gets numbered lines of various lengths."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config").write_text("s9000\nn200\n")
    data = "".join(f"{n} {'x' * (n * 37 % 1500)}\n" for n in range(count))
    subprocess.run(["svlogd", "-ttt", directory], input=data.encode(), check=True)


def test_nothing_is_lost_or_doubled_at_rotations(tmp_path: Path) -> None:
    talk(tmp_path / "web-1/web", 1000)
    found = texts(tmp_path)
    assert [line.split()[0] for line in found] == [str(n) for n in range(1000)]
    assert [len(line) for line in found] == [len(f"{n} ") + n * 37 % 1500 for n in range(1000)]
    assert [line.split()[0] for line in texts(tmp_path, last=30)] == [str(n) for n in range(970, 1000)]


def test_following_sees_every_line_once_through_rotations(tmp_path: Path) -> None:
    talk(tmp_path / "web-1/web", 10)
    following = log.read(tmp_path, LogQuery(last=5), follow=True)
    assert [next(following).text.split()[0] for _ in range(5)] == ["5", "6", "7", "8", "9"]
    writers = [threading.Thread(target=talk, args=(tmp_path / f"web-{n}/web", 1000)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    seen: dict[str, list[int]] = {"web-1": [], "web-2": []}
    while sum(map(len, seen.values())) < 2000:
        line = next(following)
        seen[line.instance].append(int(line.text.split()[0]))
        assert len(line.text.split(maxsplit=1)[-1].strip()) in (
            seen[line.instance][-1] * 37 % 1500,
            len(line.text.strip()),
        )
    for writer in writers:
        writer.join()
    assert seen == {"web-1": list(range(1000)), "web-2": list(range(1000))}


def test_following_ends_when_told(logs: Path) -> None:
    assert len(list(log.read(logs, LogQuery(), follow=True, stopped=lambda: True))) == 6


def kept(tmp_path: Path, name: str, size: int, age_hours: float) -> Path:
    path = tmp_path / "shop/production" / name / "web/current"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * size)
    moment = (SystemClock().now() - timedelta(hours=age_hours)).timestamp()
    instance = path.parent.parent
    for each in (path, instance):
        os.utime(each, (moment, moment))
    return instance


def test_ended_are_all_that_do_not_live_and_what_is_removed_is_gone(tmp_path: Path) -> None:
    live = kept(tmp_path, "live", 10_000, 100)
    old = kept(tmp_path, "old", 10, 50)
    new = kept(tmp_path, "new", 200, 1)
    ended = {each.path: each for each in log.ended(tmp_path, {live})}
    assert {path: each.size_bytes for path, each in ended.items()} == {old: 10, new: 200}
    assert ended[new].modified_at - ended[old].modified_at > timedelta(hours=48)
    log.remove(old)
    log.remove(old)
    assert {path for path in (live, old, new) if path.exists()} == {live, new}


def test_what_starts_an_instance_writes_is_read_with_its_logs(tmp_path: Path) -> None:
    place = log.console(tmp_path / "web-1")
    assert log.console(tmp_path / "web-1") == place
    place.write_text("bwrap: no such directory\n")
    (line,) = log.read(tmp_path, LogQuery(instance="web-1"))
    assert (line.instance, line.process, line.text) == ("web-1", "boot.log", "bwrap: no such directory")


def test_logs_are_known_to_be_an_apps(logs: Path) -> None:
    assert log.app_of(logs / "web-1") is None
    log.keep_app(logs / "web-1", "shop")
    log.keep_app(logs / "new-1", "blog")
    assert (log.app_of(logs / "web-1"), log.app_of(logs / "new-1")) == ("shop", "blog")
    assert [each.text for each in log.read(logs, LogQuery(), wanted=lambda id_: log.app_of(logs / id_) == "shop")] == [
        *"ace"
    ]
