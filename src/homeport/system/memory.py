"""How much memory this machine has. Called by the local engine."""

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
