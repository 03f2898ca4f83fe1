"""How much lies on a disk, and how much more could. Called by engines, control through the engine, and the cli."""

import os
import stat
from pathlib import Path

from homeport.model.retention import Room

FULL_BYTES = 200_000


def used_bytes(path: Path) -> int:
    """What the file or the whole directory takes on disk, links not followed; 0 for what isn't there. What can't be
    looked at, or vanishes meanwhile, counts for nothing."""
    total = 0
    left = [os.fspath(path)]
    try:
        total += os.lstat(path).st_blocks * 512
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return total
    except OSError:
        return 0
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def is_full(path: Path) -> bool:
    """Whether next to nothing can be written there any more. False where that can't be known."""
    try:
        found = os.statvfs(path)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < FULL_BYTES or (found.f_files > 0 and found.f_favail == 0)


def make_room(path: Path) -> str:
    """What to type where the disk is full that the path lies on."""
    return f"homeport gc   # or make room otherwise: df -h {path}"


def room(path: Path) -> Room:
    """Of the file system that the path lies in. Raises OSError."""
    found = os.statvfs(path)
    return Room(free_bytes=found.f_bavail * found.f_frsize, total_bytes=found.f_blocks * found.f_frsize)
