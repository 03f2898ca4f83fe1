"""A whole process tree stopped and set going again, as if its machine had lost its voice. Called by the local engine.

By signals and not by a cgroup: an ordinary user may have none. What is stopped can't fork, so looking again until all
that is there has stopped leaves nobody out.
"""

import signal

from homeport.system import process
from homeport.system.clock import pause

_LOOKS = 100
_LOOK_SECONDS = 0.002


def freeze(pid: int, started: int) -> None:
    """Nothing below this pid 1 of a sandbox runs, nor does itself; harmless where it has ended."""
    for _ in range(_LOOKS):
        going = [each for each in _tree(pid, started) if not process.stopped(each)]
        if not going:
            return
        _send(going, signal.SIGSTOP)
        pause(_LOOK_SECONDS)


def thaw(pid: int, started: int) -> None:
    """All of it goes on; harmless where it wasn't frozen. What the app itself has stopped stays so unless its pid 1 was
    stopped, which nobody inside can do."""
    if process.stopped(pid):
        _send(_tree(pid, started)[::-1], signal.SIGCONT)


def _tree(pid: int, started: int) -> tuple[int, ...]:
    return (pid, *process.descendants(pid)) if process.alive(pid, started) else ()


def _send(pids: list[int] | tuple[int, ...], number: signal.Signals) -> None:
    for each in pids:
        found = process.start_time(each)
        if found is not None:
            process.send(each, found, number)
