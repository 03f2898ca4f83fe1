"""A program of the user's: heard as it speaks, ended with its children, and nobody hangs on it."""

import os
import signal
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.system import command
from homeport.system.command import run
from tests.e2e.balanced import until

LONG = timedelta(seconds=60)


def ran(tmp_path: Path, script: str, limit: timedelta = LONG) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    status = run(("/bin/sh", "-c", script), directory=tmp_path, environment={"A": "b"}, limit=limit, heard=lines.append)
    return status, lines


def too_long(tmp_path: Path, script: str) -> None:
    """It came as far as to write down its pid, and was ended: a busy machine may have to begin once more."""
    own = tmp_path / "own"
    for seconds in (1, 10, 100):
        assert ran(tmp_path, script, timedelta(seconds=seconds)) == (None, [])
        if own.exists() and own.read_text().strip():
            return
    raise AssertionError("it never began")


def gone(pid: Path) -> bool:
    try:
        os.kill(int(pid.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("script", "status", "lines"),
    [
        ('echo "$A $PWD"; printf last >&2', 0, ["b {}", "last"]),
        ("printf 'a\\r\\nb\\n\\nc'; exit 7", 7, ["a", "b", "", "c"]),
        ("kill -9 $$", 137, []),
        ("exec >&- 2>&-; exit 3", 3, []),
        ("read x; echo $?", 0, ["1"]),
        ("printf '\\377'", 0, ["\ufffd"]),
    ],
)
def test_status_and_lines(tmp_path: Path, script: str, status: int, lines: list[str]) -> None:
    assert ran(tmp_path, script) == (status, [each.format(tmp_path) for each in lines])


def test_one_that_is_silent_for_too_long_ends_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.5)
    too_long(tmp_path, "trap '' TERM; sleep 1000 & echo $! > child; echo $$ > own; wait; wait")
    until(lambda: gone(tmp_path / "own") and gone(tmp_path / "child"), "both have ended")


def test_one_that_closed_its_output_is_still_ended(tmp_path: Path) -> None:
    too_long(tmp_path, "exec >&- 2>&-; echo $$ > own; exec sleep 1000")
    assert gone(tmp_path / "own")


def test_a_child_that_keeps_the_output_open_holds_nobody_up(tmp_path: Path) -> None:
    assert ran(tmp_path, "sleep 1000 & echo $! > child; echo done") == (0, ["done"])
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    def interrupt() -> None:
        until(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text().strip(), "it runs")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, "echo $$ > own; exec sleep 1000")
    assert gone(tmp_path / "own")


def test_ctrl_c_as_it_begins_ends_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            begun.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path, "exec sleep 1000")
    try:
        assert begun[0].poll() == -signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        begun[0].kill()


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        run(("/nowhere",), directory=tmp_path, environment={}, limit=LONG, heard=print)
