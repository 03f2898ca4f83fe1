"""What of a machine's own files may go, and when a disk is nearly full. Pure; called by `control.retention`, the
console's views, `doctor` and the command line. What lies in the store is `plan.retention`'s.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from homeport.model.platform import Retention
from homeport.model.retention import Kept, Remain, RemainKind, Removal, Room, Sweep

GRACE = timedelta(hours=1)
"""Nothing younger goes, but logs and caches: somebody may have begun to use it, and not said so yet."""
KEPT_LOG_BYTES = 500_000_000
"""Logs of ended instances, all together: beyond it the oldest go."""
KEPT_CACHE_BYTES = 2_000_000_000
"""Caches of builds, all together: beyond it the largest go."""
LEAST_FREE_BYTES = 1_000_000_000
LEAST_FREE_SHARE = 0.05

_ORDER: tuple[RemainKind, ...] = ("build", "cache", "log", "task", "instance", "release", "layer")
"""First what makes room and needs none, then what is written down; layers after the releases that name them."""
_WHY: dict[RemainKind, str] = {
    "build": "its build was killed",
    "task": "its deployment has ended",
    "instance": "its instance has ended",
    "release": "nothing here runs it, or would go back to it",
    "layer": "no release that is prepared here has it",
}


def plan_remains(remains: Iterable[Remain], kept_logs: Mapping[str, timedelta], now: datetime) -> Sweep:
    """`kept_logs`: environment → how long logs of its ended instances are kept, where that isn't the default."""
    going: list[Removal] = []
    kept: list[Kept] = []
    by_kind: dict[RemainKind, list[Remain]] = {kind: [] for kind in _ORDER}
    for each in remains:
        if each.needed:
            kept.append(Kept(what=each.name, why=each.needed))
        else:
            by_kind[each.kind].append(each)
    for kind in _ORDER:
        match kind:
            case "log":
                going += _logs(by_kind[kind], kept_logs, now)
            case "cache":
                going += _caches(by_kind[kind])
            case _:
                for each in by_kind[kind]:
                    if now - each.modified_at > GRACE:
                        going.append(_removal(each, _WHY[kind]))
                    else:
                        kept.append(Kept(what=each.name, why="younger than an hour"))
    return Sweep(going=tuple(going), kept=tuple(kept))


def nearly_full(room: Room) -> bool:
    """Whether somebody should be told to make room."""
    return room.free_bytes < max(LEAST_FREE_BYTES, LEAST_FREE_SHARE * room.total_bytes)


def _logs(logs: list[Remain], kept_logs: Mapping[str, timedelta], now: datetime) -> Iterator[Removal]:
    total = 0
    for each in sorted(logs, key=lambda log: log.modified_at, reverse=True):
        total += each.size_bytes
        age = kept_logs.get(each.environment, Retention().logs)
        if now - each.modified_at > age:
            yield _removal(each, f"its instance has ended, last written {(now - each.modified_at).days} d ago")
        elif total > KEPT_LOG_BYTES:
            yield _removal(each, f"newer logs of ended instances hold {KEPT_LOG_BYTES // 1_000_000} MB")


def _caches(caches: list[Remain]) -> Iterator[Removal]:
    total = sum(each.size_bytes for each in caches)
    for each in sorted(caches, key=lambda cache: cache.size_bytes, reverse=True):
        if total > KEPT_CACHE_BYTES:
            yield _removal(each, f"caches of builds hold more than {KEPT_CACHE_BYTES // 1_000_000_000} GB")
            total -= each.size_bytes


def _removal(each: Remain, why: str) -> Removal:
    return Removal(what=each.name, size_bytes=each.size_bytes, why=why)
