"""Which sessions are to end, and how, when their environment goes down. Pure. Called by `control.environment`."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.session import Session

MARGIN = timedelta(seconds=5)
"""Beyond its grace time: whoever keeps a session kills it by then."""


class End(Struct, frozen=True, kw_only=True):
    """One to be told to end, or, `by_force`, to be killed with who keeps it."""

    session: str
    by_force: bool = False


def ending(sessions: Iterable[Session], now: datetime) -> tuple[tuple[End, ...], datetime | None]:
    """What to do, and when to look again (None: only when something happens). Each is told once."""
    ends: list[End] = []
    wakes: list[datetime] = []
    for each in sessions:
        if each.ended_at is not None:
            continue
        if each.stop_at is None:
            ends.append(End(session=each.id))
            wakes.append(now + each.grace + MARGIN)
        elif now >= each.stop_at + each.grace + MARGIN:
            ends.append(End(session=each.id, by_force=True))
            wakes.append(now + MARGIN)
        else:
            wakes.append(each.stop_at + each.grace + MARGIN)
    return tuple(ends), min(wakes, default=None)
