"""How much memory this machine has, and how eagerly this process looks for what it could give back. The first is asked
by the local engine, the second said by programs."""

import gc
from pathlib import Path

_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def total_bytes() -> int | None:
    """What programs here may take together, by the machine and by the container that it may be; None: not known."""
    found = [each for each in (_installed(), *map(_limit, _LIMITS)) if each is not None]
    return min(found, default=None)


def _installed() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")), None)


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max"
        return None


def tidied_seldom() -> None:
    """From here on this process looks for garbage seldom, and never in what it has now. A command has hardly any when
    it ends, but a heap that grows by all that it imports, and is gone through each time: an eighth of its work."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def tidied_as_usual() -> None:
    """From here on it does as Python does by itself: for what stays."""
    gc.set_threshold(700, 10, 10)
