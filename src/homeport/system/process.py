"""Processes of this machine as /proc shows them. A pid is named together with its start time, because pids are reused.

Called by the local engine: adoption, ending what runs, diagnosis.
"""

import errno
import os
import select
import signal
from pathlib import Path

from homeport.system.effect import effect

PROC = Path("/proc")


def boot_id() -> str:
    """Which run of the machine this is."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/<pid>/stat from the third (state) on; None: no such process."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb", buffering=0) as file:  # asked for every instance at every tick
            said = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return said[said.rindex(b")") + 2 :].decode().split()


def start_time(pid: int) -> int | None:
    """Clock ticks since boot at which the process was started; None: no such process, or only its zombie is left."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def alive(pid: int, started: int) -> bool:
    """Whether this very process lives. A zombie doesn't, nor does another one with the same pid."""
    return start_time(pid) == started


def stopped(pid: int) -> bool:
    """Whether it is stopped by a signal, or gone."""
    fields = _stat(pid)
    return fields is None or fields[0] in "TtZX"


def start_time_of_first(pid: int) -> int | None:
    """As `start_time`, if it is the first process of a pid namespace below the first one; None else, too."""
    started = start_time(pid)
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    pids = text.partition("\nNSpid:")[2].partition("\n")[0].split()
    return started if len(pids) > 1 and pids[-1] == "1" else None


def name(pid: int) -> str | None:
    """The kernel's short name of what it executes (15 characters); None: no such process."""
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return None


def uids() -> set[int]:
    """Of all processes: every uid that one has, really, effectively, or in reserve."""
    found: set[int] = set()
    for entry in os.scandir(PROC):
        try:
            text = (PROC / entry.name / "status").read_text(errors="replace") if entry.name.isdigit() else ""
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.update(map(int, text.partition("\nUid:")[2].partition("\n")[0].split()))
    return found


def parents() -> dict[int, int]:
    """pid → parent's pid, of all processes."""
    found = {}
    for entry in os.scandir(PROC):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def children(pid: int) -> tuple[int, ...]:
    """Direct children, zombies included, in order of pid."""
    return tuple(sorted(child for child, parent in parents().items() if parent == pid))


def descendants(pid: int) -> tuple[int, ...]:
    """All below `pid`, without itself. For a pid 1 of a pid namespace that is everything in it."""
    below: dict[int, list[int]] = {}
    for child, parent in parents().items():
        below.setdefault(parent, []).append(child)
    found: list[int] = []
    queue = [pid]
    while queue:
        queue += (nearer := below.get(queue.pop(), []))
        found += nearer
    return tuple(sorted(found))


def open_pidfd(pid: int, started: int) -> int | None:
    """A descriptor, readable when this very process ends, to be closed by the caller; None: it has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        # while it is being reaped, its number is there and no process any more: EINVAL, since Linux 6.9 ENOENT
        if error.errno not in (errno.ESRCH, errno.ENOENT, errno.EINVAL):
            raise
        return None
    if not alive(pid, started):
        os.close(descriptor)
        return None
    return descriptor


def ended(pidfd: int, timeout_seconds: float = 0) -> bool:
    """Whether the process has ended, waiting for it up to the timeout."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_seconds * 1000))


def send(pid: int, started: int, number: signal.Signals) -> bool:
    """Whether the process was there to get the signal. Never hits another process that got the same pid."""
    descriptor = open_pidfd(pid, started)
    if descriptor is None:
        return False
    try:
        return _signal(descriptor, number)
    finally:
        os.close(descriptor)


@effect("process.signal")
def _signal(descriptor: int, number: signal.Signals) -> bool:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    return True
