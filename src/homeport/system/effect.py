"""Labels on every call that changes the world, so that tests can kill the program exactly there.

`@effect("haproxy.write_config")` marks a function. With `HOMEPORT_CRASH=haproxy.write_config:before` (or `:after`) in
the environment, the process is killed with SIGKILL at that point the first time it gets there (a file named by
`HOMEPORT_CRASH_ONCE` is created first, and a crash happens only where it wasn't there, so that a restarted process
goes on). With `HOMEPORT_CRASH=each` it is killed at every point, once each: `HOMEPORT_CRASH_ONCE` is then a directory,
which gets a file per point. `SITES` holds every label of what has been imported.
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

SITES: set[str] = set()
EACH = "each"


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
    """Doesn't return where the process is to die here. In `each`, raises KeyError without `HOMEPORT_CRASH_ONCE`."""
    wanted, point = os.environ.get("HOMEPORT_CRASH"), f"{label}:{when}"
    if wanted not in (point, EACH):
        return
    once = os.environ["HOMEPORT_CRASH_ONCE"] if wanted == EACH else os.environ.get("HOMEPORT_CRASH_ONCE")
    if once:
        try:
            Path(once, point if wanted == EACH else "").touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
