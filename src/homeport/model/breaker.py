"""The launch breaker of a release in a group, as `plan.breaker` finds it."""

import enum
from datetime import datetime, timedelta

from msgspec import Struct


class BreakerPhase(enum.Enum):
    """CLOSED: launches go on. WAITING: after failures, for the next attempt. OPEN: so many have failed that launches
    are suspended but for one attempt now and then. HALF_OPEN: that attempt goes on."""

    CLOSED = "closed"
    WAITING = "waiting"
    OPEN = "open"
    HALF_OPEN = "half-open"


class BreakerState(Struct, frozen=True, kw_only=True):
    """The launch breaker of a release in a group, and what the loop has cost since the last launch that went well."""

    release: int
    phase: BreakerPhase = BreakerPhase.CLOSED
    failures: int = 0
    """Rounds of launches that have failed, one after the other."""
    launches: int = 0
    spent: timedelta = timedelta()
    """Instance-hours in them."""
    last_at: datetime | None = None
    """When the last one failed."""
    until_at: datetime | None = None
    """No launch before."""
    allowed: int | None = None
    """How many may be launched now; None: any number."""
    reason: str = ""
    """Why the last one failed."""
    specimen: str = ""
    """The instance that is kept for a look; empty: none."""
