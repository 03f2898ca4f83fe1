"""Freezes: until when one holds, and what to say to who deploys meanwhile. Pure.

Called by `control.control`, which refuses, and by the command line, which asks before it builds anything.
"""

from datetime import UTC, datetime

from homeport.errors import Conflict, Invalid
from homeport.model.freeze import Freeze
from homeport.plan.quantity import parse_duration

MOMENT = 'a date or time such as "2026-12-01" or "2026-12-01T08:00+01:00" (UTC, where it doesn\'t say)'


def until_at(moment: str | None, duration: str | None, now: datetime) -> datetime:
    """The end that `--until` or `--for` state. Raises `Invalid` where it isn't one of them, or is over."""
    if (moment is None) == (duration is None):
        raise Invalid("a freeze ends by itself: expected either --until or --for", hint="homeport freeze --for 2h …")
    try:
        if duration is not None:
            found = now + parse_duration(duration)
        else:
            assert moment is not None
            found = datetime.fromisoformat(moment)
            found = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"--until {moment!r}: expected {MOMENT}") from error
    if found <= now:
        said = f"--until {moment}" if duration is None else f"--for {duration}"
        raise Invalid(f"{said} is {shown(found)}, which is over; it is {shown(now)}")
    return found


def holding(newest: Freeze | None, now: datetime) -> Freeze | None:
    """The freeze that holds; None: nothing does. `newest`: what was said last."""
    if newest is None or newest.until_at is None or newest.until_at <= now:
        return None
    return newest


def refusal(freeze: Freeze, environment: str) -> Conflict:
    """What whoever deploys to `environment` (`<platform>/<name>`) gets to hear."""
    return Conflict(
        f"{environment} is frozen {in_words(freeze)}",
        hint=f'homeport unfreeze -e {environment}   # or, for this once: --override-freeze "why"',
    )


def in_words(freeze: Freeze) -> str:
    """`until 2026-12-01 00:00 UTC, by ada: Christmas sale`."""
    assert freeze.until_at is not None
    return f"until {shown(freeze.until_at)}, by {freeze.by}: {freeze.why}"


def event_words(said: Freeze) -> str:
    """What was said, as an event."""
    return f"{said.by} lifts the freeze" if said.until_at is None else f"frozen {in_words(said)}"


def shown(moment: datetime) -> str:
    """To the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
