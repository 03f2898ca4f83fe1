import subprocess
from collections.abc import Iterator
from queue import Empty, Queue

import pytest

from homeport.engines.local.death import Deaths
from homeport.system import process


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as made:
        try:
            yield made
        finally:
            made.kill()


@pytest.fixture
def watched() -> Iterator[tuple[Deaths, "Queue[str]"]]:
    seen: Queue[str] = Queue()
    deaths = Deaths(seen.put)
    try:
        yield deaths, seen
    finally:
        deaths.close()


def started(pid: int) -> int:
    found = process.start_time(pid)
    assert found is not None
    return found


def test_a_death_is_reported_once(watched: tuple[Deaths, "Queue[str]"], sleeper: "subprocess.Popen[bytes]") -> None:
    deaths, seen = watched
    deaths.watch("web-1", sleeper.pid, started(sleeper.pid))
    deaths.watch("web-1", sleeper.pid, started(sleeper.pid))
    sleeper.kill()
    assert seen.get(timeout=30) == "web-1"
    deaths.watch("other", sleeper.pid, 1)
    assert seen.get(timeout=30) == "other"
    assert seen.empty()


def test_one_that_is_gone_or_another_is_reported_at_once(
    watched: tuple[Deaths, "Queue[str]"], sleeper: "subprocess.Popen[bytes]"
) -> None:
    deaths, seen = watched
    deaths.watch("reused", sleeper.pid, started(sleeper.pid) - 1)
    assert seen.get(timeout=30) == "reused"


def test_unwatched_is_not_reported(watched: tuple[Deaths, "Queue[str]"], sleeper: "subprocess.Popen[bytes]") -> None:
    deaths, seen = watched
    deaths.watch("a", sleeper.pid, started(sleeper.pid))
    deaths.unwatch("a")
    deaths.watch("b", sleeper.pid, started(sleeper.pid))
    sleeper.kill()
    assert seen.get(timeout=30) == "b"
    with pytest.raises(Empty):
        seen.get(block=False)
