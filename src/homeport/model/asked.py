"""What people asked of a fleet while it runs: kept by the engine over the platform file, until they ask otherwise.

On AWS these are attributes of the Auto Scaling group; the words are AWS's."""

import enum
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct


class Suspendable(enum.Enum):
    """What a group does by itself, and can be told not to. AWS calls them processes."""

    LAUNCH = "Launch"
    TERMINATE = "Terminate"
    REPLACE_UNHEALTHY = "ReplaceUnhealthy"
    AZ_REBALANCE = "AZRebalance"
    HEALTH_CHECK = "HealthCheck"


class StandbyAsked(Struct, frozen=True, kw_only=True):
    """An instance out of traffic, kept alive for a look. Another is launched in its place, unless who asked made the
    group's `desired` one smaller (AWS: ShouldDecrementDesiredCapacity): `decrement` says so, for the way back."""

    instance: str
    decrement: bool = False


class CycleAsked(Struct, frozen=True, kw_only=True):
    """Every instance that was launched before `older_than_at` is replaced, `batch` at a time. `since_at`: when it was
    asked for; a replacement that has failed since then ends it."""

    since_at: datetime
    older_than_at: datetime
    batch: int = 1
    by: str = ""


class GroupAsked(Struct, frozen=True, kw_only=True):
    """All that was asked of one group. `desired` None: the file's seed holds. `breaker_reset_at`: launches before it
    count no more."""

    app: str
    group: str
    desired: int | None = None
    suspended: tuple[Suspendable, ...] = ()
    standby: tuple[StandbyAsked, ...] = ()
    cycle: CycleAsked | None = None
    breaker_reset_at: datetime | None = None

    @property
    def nothing(self) -> bool:
        """Nothing is asked: needn't be kept."""
        return self == GroupAsked(app=self.app, group=self.group)


class ZoneAsked(Struct, frozen=True, kw_only=True):
    """A zone that is to fail on purpose: its instances are killed, or frozen until it is restored; none can be launched
    in it. `failure` None: it is restored."""

    zone: str
    failure: Literal["kill", "freeze"] | None
    since_at: datetime


class MaintenanceAsked(Struct, frozen=True, kw_only=True):
    """The public side of an app, or with an empty `app` of the whole environment, answers 503 with `page` (empty: a
    plain one) to all but the networks of `allow`. `on` False: it doesn't any more."""

    app: str
    on: bool
    since_at: datetime
    by: str
    why: str = ""
    page: str = ""
    allow: tuple[str, ...] = ()
    retry_after: timedelta = timedelta(minutes=5)


class Asked(Struct, frozen=True, kw_only=True):
    """Of one environment. Groups of which nothing is asked, zones that are well, and maintenance that is over, aren't
    in it."""

    groups: tuple[GroupAsked, ...] = ()
    zones: tuple[ZoneAsked, ...] = ()
    maintenance: tuple[MaintenanceAsked, ...] = ()

    def of(self, app: str, group: str) -> GroupAsked:
        """What is asked of a group; nothing, where it isn't known."""
        found = (each for each in self.groups if (each.app, each.group) == (app, group))
        return next(found, GroupAsked(app=app, group=group))

    def sizes(self, app: str) -> dict[str, int]:
        """Group → the count that was asked for, of an app's."""
        return {each.group: each.desired for each in self.groups if each.app == app and each.desired is not None}
