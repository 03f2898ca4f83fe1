"""A running generation, seen and ended from outside, through its service directory and its pid 1.

Called by the engine. Never by `sv`, which polls every 420 ms. What lies in a `supervise` directory was written by runsv
inside the sandbox, or by a hostile app: nothing is followed, waited for, or believed to be more than text.
"""

import os
import re
import signal
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homeport.instance.service import STOPPING
from homeport.model.fleet import Process
from homeport.system import process
from homeport.system.effect import effect

_TAI_OFFSET = 2**62 + 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = struct.Struct(">QI4sBBBB")
_RUNNING = 1
_EXIT = re.compile(r"(\d{1,9}) (\d{1,11})\.(\d{1,9}) (-?\d{1,3}) (\d{1,3})")


def processes(service_directory: Path) -> tuple[Process, ...]:
    """One per process type, by name; empty where there is no such directory. A process that isn't supervised (yet, or
    any longer) isn't up."""
    return tuple(_process(service_directory, name) for name in _names(service_directory))


def stop(service_directory: Path, told: set[str] | None = None) -> bool:
    """Every runsv has been told to end its process (TERM, through `control/t`) and its log, and to exit; False: some
    weren't listening, either ended or not begun yet. `told`: those that have heard it and aren't told again; gets the
    ones that hear it now. Doesn't wait; when all have exited the sandbox ends by itself."""
    told = set() if told is None else told
    names = set(_names(service_directory))
    if names - told:
        _forbid_restart(service_directory)
    told |= {name for name in sorted(names - told) if _control(service_directory, name, b"x")}
    return names <= told


def stopped(service_directory: Path) -> bool:
    """Whether every runsv has exited after `stop`. The death of pid 1 says the same, as an event."""
    marked = (service_directory / STOPPING).exists()
    return marked and not any(_control(service_directory, name, b"") for name in _names(service_directory))


def kill(pid: int, started: int) -> bool:
    """KILL to the sandbox's pid 1, and with it to everything inside; False: it had ended before."""
    return process.send(pid, started, signal.SIGKILL)


def _names(service_directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(service_directory) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


@contextmanager
def _opened(service_directory: Path, name: str, entry: str, flags: int) -> Iterator[int | None]:
    """An entry of a service's `supervise`, opened without following or waiting; None: it can't be."""
    directory = descriptor = None
    try:
        directory = os.open(service_directory / name / "supervise", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        descriptor = os.open(entry, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        pass
    try:
        yield descriptor
    finally:
        for each in (directory, descriptor):
            if each is not None:
                os.close(each)


def _read(service_directory: Path, name: str, entry: str) -> bytes:
    """The last 4 KB of a regular file; empty for anything else."""
    with _opened(service_directory, name, entry, os.O_RDONLY) as descriptor:
        if descriptor is None:
            return b""
        info = os.fstat(descriptor)
        return os.pread(descriptor, 4096, max(0, info.st_size - 4096)) if stat.S_ISREG(info.st_mode) else b""


@effect("supervision.control")
def _control(service_directory: Path, name: str, command: bytes) -> bool:
    """Whether a runsv was there to hear the command."""
    with _opened(service_directory, name, "control", os.O_WRONLY) as descriptor:
        if descriptor is None or not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        try:
            os.write(descriptor, command)
        except OSError:
            return False
        return True


@effect("supervision.forbid_restart")
def _forbid_restart(service_directory: Path) -> None:
    if service_directory.exists():
        (service_directory / STOPPING).touch()


def _process(service_directory: Path, name: str) -> Process:
    up, since_at = False, None
    status = _read(service_directory, name, "status")
    if len(status) == _STATUS.size:
        seconds, nanoseconds, pid, _, _, _, state = _STATUS.unpack(status)
        up = state == _RUNNING and int.from_bytes(pid, "little") > 0 and _control(service_directory, name, b"")
        since_at = _moment(seconds - _TAI_OFFSET, nanoseconds)
    exits, last_exit = 0, ""
    lines = _read(service_directory, name, "exits").decode(errors="replace").splitlines()
    if lines and (match := _EXIT.fullmatch(lines[-1])):
        exits, last_exit = int(match[1]), _describe(int(match[4]), int(match[5]))
    return Process(name=name, up=up, since_at=since_at, exits=exits, last_exit=last_exit)


def _moment(seconds: int, nanoseconds: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    except OverflowError:
        return None


def _describe(code: int, number: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
