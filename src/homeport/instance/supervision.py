"""A running generation, seen and ended from outside, through its service directory and its pid 1.

Called by the engine. Never by `sv`, which polls every 420 ms. What lies in a `supervise` directory was written by runsv
inside the sandbox, or by a hostile app: nothing is followed, waited for, or believed to be more than text.
"""

import os
import re
import signal
import stat
import struct
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
_EXIT = re.compile(r"(\d{1,9}) (\d{1,11})\.(\d{1,9}) (-?\d{1,3}) (\d{1,3})( oom)?")


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
    return marked and not any(_hears(service_directory, name) for name in _names(service_directory))


def kill(pid: int, started: int) -> bool:
    """KILL to the sandbox's pid 1, and with it to everything inside; False: it had ended before."""
    return process.send(pid, started, signal.SIGKILL)


def _names(service_directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(service_directory) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


class _Supervise:
    """A service's `supervise` directory; a context."""

    def __init__(self, service_directory: Path, name: str) -> None:
        self._directory = _open(f"{service_directory}/{name}/supervise", os.O_PATH | os.O_DIRECTORY)

    def __enter__(self) -> "_Supervise":
        return self

    def __exit__(self, *_: object) -> None:
        if self._directory is not None:
            os.close(self._directory)

    def read(self, entry: str) -> bytes:
        """The last 4 KB of a regular file; empty for anything else."""
        descriptor = self._open(entry, os.O_RDONLY)
        if descriptor is None:
            return b""
        try:
            info = os.fstat(descriptor)
            return os.pread(descriptor, 4096, max(0, info.st_size - 4096)) if stat.S_ISREG(info.st_mode) else b""
        finally:
            os.close(descriptor)

    def hears(self, command: bytes = b"") -> bool:
        """Whether a runsv is there to hear the command: without one, a FIFO can't be opened to be written to."""
        descriptor = self._open("control", os.O_WRONLY)
        if descriptor is None:
            return False
        try:
            return stat.S_ISFIFO(os.fstat(descriptor).st_mode) and (not command or os.write(descriptor, command) > 0)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def _open(self, entry: str, flags: int) -> int | None:
        return None if self._directory is None else _open(entry, flags, self._directory)


def _open(path: str, flags: int, directory: int | None = None) -> int | None:
    """Opened without following or waiting; None: it can't be."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None


def _hears(service_directory: Path, name: str) -> bool:
    with _Supervise(service_directory, name) as supervise:
        return supervise.hears()


@effect("supervision.control")
def _control(service_directory: Path, name: str, command: bytes) -> bool:
    """Whether a runsv was there to hear the command."""
    with _Supervise(service_directory, name) as supervise:
        return supervise.hears(command)


@effect("supervision.forbid_restart")
def _forbid_restart(service_directory: Path) -> None:
    if service_directory.exists():
        (service_directory / STOPPING).touch()


def _process(service_directory: Path, name: str) -> Process:
    up, since_at = False, None
    with _Supervise(service_directory, name) as supervise:
        status = supervise.read("status")
        if len(status) == _STATUS.size:
            seconds, nanoseconds, pid, _, _, _, state = _STATUS.unpack(status)
            up = state == _RUNNING and int.from_bytes(pid, "little") > 0 and supervise.hears()
            since_at = _moment(seconds - _TAI_OFFSET, nanoseconds)
        lines = supervise.read("exits").decode(errors="replace").splitlines()
    exits, last_exit, starved = 0, "", False
    if lines and (match := _EXIT.fullmatch(lines[-1])):
        starved = match[6] is not None
        said = _describe(int(match[4]), int(match[5]))
        exits, last_exit = int(match[1]), f"{said}, out of memory" if starved else said
    return Process(name=name, up=up, since_at=since_at, exits=exits, last_exit=last_exit, out_of_memory=starved)


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
