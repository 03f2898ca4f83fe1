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
LEAST_BYTES = 1_000_000
"""Less than this wouldn't help anybody."""
LEFT_BYTES = 500_000
"""What stays for others where there isn't room for all of it."""


def give_up(home: Home) -> bool:
    """Whether that makes room: the file is gone, if the disk is full."""
    with contextlib.suppress(OSError):
        kept = any(each.exists() for each in (_path(home), _part(_path(home))))
        if kept and room(home.root).free_bytes < SIZE_BYTES:
            _remove(_path(home))
            return True
    return False


def keep(home: Home) -> None:
    """The file is there, as large as there is room for."""
    with contextlib.suppress(OSError):
        size_bytes = min(SIZE_BYTES, room(home.root).free_bytes - LEFT_BYTES)
        if not _path(home).exists() and size_bytes >= LEAST_BYTES:
            _make(_path(home), size_bytes)


def _path(home: Home) -> Path:
    return home.root / "reserve"


def _part(path: Path) -> Path:
    return path.with_name("reserve.new")


@effect("reserve.remove")
def _remove(path: Path) -> None:
    for each in (path, _part(path)):
        each.unlink(missing_ok=True)


@effect("reserve.make")
def _make(path: Path, size_bytes: int) -> None:
    part = _part(path)
    try:
        with part.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        part.rename(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
