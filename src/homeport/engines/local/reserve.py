"""Room that is kept for the engine itself: a file that it gives up when the disk is full, so that it can start, write
down what it does, and clean up. Used by `engine`. The records hold a reserve of their own (`stores.state`).
"""

import contextlib
import os
from pathlib import Path

from homeport.system.disk import room
from homeport.system.effect import effect
from homeport.system.home import Home

SIZE_BYTES = 4_000_000


def give_up(home: Home) -> None:
    """The file is gone, if the disk is full."""
    with contextlib.suppress(OSError):
        if room(home.root).free_bytes < SIZE_BYTES:
            _remove(_path(home))


def keep(home: Home) -> None:
    """The file is there, if there is room for many of it."""
    with contextlib.suppress(OSError):
        if not _path(home).exists() and room(home.root).free_bytes > 10 * SIZE_BYTES:
            _make(_path(home))


def _path(home: Home) -> Path:
    return home.root / "reserve"


@effect("reserve.remove")
def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@effect("reserve.make")
def _make(path: Path) -> None:
    part = path.with_name("reserve.new")
    with part.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, SIZE_BYTES)
    part.rename(path)
