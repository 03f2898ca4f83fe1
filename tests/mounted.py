"""Sandboxes of this machine that have something of a directory mounted: those of this run alone, whatever another one,
or one that was killed, has left in a directory of the same name."""

import os
from pathlib import Path

from homeport.system import process


def sandboxes_with(directory: Path) -> dict[int, list[str]]:
    """Host pid of the first process of each → what it has mounted of `directory`, relative to that."""
    device, root = _in_its_file_system(directory)
    begun = process.start_time(os.getpid())
    assert begun is not None
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            mounts = [line.split() for line in (entry / "mountinfo").read_text().splitlines()]
        except OSError:
            continue
        started = process.start_time_of_first(int(entry.name))
        if started is None or started < begun:
            continue
        mounted = [each[3].removeprefix(f"{root}/") for each in mounts if each[2] == device and _below(each[3], root)]
        if mounted:
            found[int(entry.name)] = mounted
    return found


def _in_its_file_system(directory: Path) -> tuple[str, str]:
    """The device that the directory is on, and its path there, as mountinfo has them."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    above = [each for each in mounts if directory.is_relative_to(each[4])]
    _, device, root, point = max((len(each[4]), each[2], each[3], each[4]) for each in above)
    return device, str(Path(root) / directory.relative_to(point))


def _below(path: str, root: str) -> bool:
    return path.startswith(f"{root}/")
