"""Keys of fenced logs and leases, and which of them count (design: the store).

A fenced log holds entries `<prefix><fence>-<seq>`, each created once. A new lease holder first writes `<fence>-0`,
naming the last key that it saw; later keys of lower fences are void, so a holder that wakes up late can't win.

Pure. Called by `control.lease`, `control.log` and whoever reads pointers.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

TIME_TO_LIVE = timedelta(seconds=15)
"""No new beat for so long, on the taker's own monotonic clock, and the lease may be taken over."""
BEAT_EVERY = timedelta(seconds=3)


class Marker(Struct, frozen=True, kw_only=True):
    """Content of `<fence>-0`. `after`: the last key seen; empty: there was none."""

    after: str = ""


class Beat(Struct, frozen=True, kw_only=True):
    """Content of a lease's keys."""

    holder: str
    by: str
    since_at: str


def entry_key(prefix: str, fence: int, seq: int) -> str:
    return f"{prefix}{fence:08d}-{seq:08d}"


def fence_of(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])


def sequence_of(key: str) -> int:
    return int(key.rpartition("-")[2])


def valid_keys(keys: Sequence[str], markers: Mapping[str, Marker]) -> list[str]:
    """The entries that count, oldest first, markers left out. `markers`: content of every `<fence>-0` among `keys`."""
    good: list[str] = []
    limits = sorted((fence_of(key), marker.after) for key, marker in markers.items())
    for key in sorted(keys):
        fence = fence_of(key)
        void = any(fence < limit_fence and key > after for limit_fence, after in limits)
        if not void and sequence_of(key) != 0:
            good.append(key)
    return good


def beat_key(prefix: str, fence: int, beat: int) -> str:
    return f"{prefix}{fence:08d}/{beat:08d}"


def released_key(prefix: str, fence: int) -> str:
    return f"{prefix}{fence:08d}/released"


class LeaseView(Struct, frozen=True, kw_only=True):
    """What the keys under a lease's prefix say. `fence` 0: it was never taken."""

    fence: int = 0
    last_key: str = ""
    beats: int = 0
    released: bool = True


def read_lease(keys: Sequence[str]) -> LeaseView:
    """The state of a lease from its keys alone."""
    if not keys:
        return LeaseView()
    fence = max(int(key.rsplit("/", 2)[1]) for key in keys)
    own = sorted(key for key in keys if int(key.rsplit("/", 2)[1]) == fence)
    beats = [key for key in own if not key.endswith("/released")]
    return LeaseView(
        fence=fence,
        last_key=beats[-1] if beats else "",
        beats=int(beats[-1].rpartition("/")[2]) if beats else 0,
        released=len(beats) != len(own),
    )
