"""Durations ("500ms", "1h30m") and sizes ("512MB", "1GiB") as people write them. Used by plan.platform and the cli."""

import re
from datetime import timedelta

from homeport.errors import Invalid

_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=3650)

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)")
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}


def parse_duration(text: str, option: str = "") -> timedelta:
    """`text` as a duration, zero or more. Units ms, s, m, h, d, which may follow each other: "1h30m". `option`: where a
    person has typed it. Raises `Invalid` for anything else, and for more than ten years."""
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
        if seconds <= LONGEST.total_seconds():
            return timedelta(seconds=seconds)
    where = f"{option}: " if option else ""
    raise Invalid(f'{where}expected a duration such as "1s" or "5m", found "{text}"')


def parse_size(text: str) -> int:
    """`text` in bytes: MB is 10⁶, MiB 2²⁰. Raises `Invalid` for anything else."""
    match = _SIZE.fullmatch(text)
    if match is None or len(match[1]) > 15:
        raise Invalid(f'expected a size such as "512MB" or "1GiB", found "{text}"')
    return int(float(match[1]) * _BYTES[match[2]])


def size_text(size_bytes: int) -> str:
    """As `512 MB` or `1.5 GB`."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 10**9 else f"{size_bytes / 1e6:.0f} MB"
