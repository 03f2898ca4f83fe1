"""Labels on every call that changes the world, so that tests can kill the program exactly there.

`@effect("haproxy.write_config")` marks a function. With `HOMEPORT_CRASH=haproxy.write_config:before` (or `:after`) in
the environment, the process is killed with SIGKILL at that point the first time it gets there (a file named by
`HOMEPORT_CRASH_ONCE` is created first, and a crash happens only where it wasn't there, so that a restarted process
goes on). With `HOMEPORT_CRASH=each` it is killed at each point, with `every` once for every way in which calls lead
there: `HOMEPORT_CRASH_ONCE` is then a directory, which gets a file per death, `<label>:<when> <callers>`.

`SITES` holds every label of what has been imported.
"""

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SITES: set[str] = set()
EACH, EVERY = "each", "every"
CALLERS = 4
LONGEST_NAME = 200


def effect(label: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The function, with a point to crash at before and after it. Raises ValueError for a label used twice."""
    if label in SITES:
        raise ValueError(f"effect label {label!r} is used twice")
    SITES.add(label)

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def labelled(*args: P.args, **kwargs: P.kwargs) -> R:
            crash_point(label, "before")
            result = function(*args, **kwargs)
            crash_point(label, "after")
            return result

        return labelled

    return mark


def crash_point(label: str, when: str) -> None:
    """Doesn't return where the process is to die here."""
    wanted, point = os.environ.get("HOMEPORT_CRASH"), f"{label}:{when}"
    if wanted not in (point, EACH, EVERY):
        return
    name = {EACH: point, EVERY: f"{point} {_callers()}"[:LONGEST_NAME]}.get(wanted, "")
    if once := os.environ.get("HOMEPORT_CRASH_ONCE"):
        try:
            Path(once, name).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)


def _callers() -> str:
    """Names of our functions that led to the labelled one, innermost first."""
    names: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(names) < CALLERS:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("homeport.") and module != __name__:
            names.append(name)
        frame = frame.f_back
    return " ".join(names)
