"""An alarm that can fail a deployment in its bake time, and what it said when it was asked."""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

Metric = Literal["error_rate", "p50", "p90", "p99"]


class Alarm(Struct, frozen=True, kw_only=True):
    """One of `url` (must answer 2xx), `command` (must end with 0) and `metric`, which must not be above `above_share`
    (error_rate) or `above_ms`. `group`: whose requests; None: of all that get some. `unknown`: what follows where it
    can't be asked."""

    name: str
    url: str | None = None
    command: str | None = None
    metric: Metric | None = None
    above_share: float | None = None
    above_ms: float | None = None
    group: str | None = None
    min_requests: int = 20
    timeout: timedelta = timedelta(seconds=10)
    unknown: Literal["back", "continue"] = "back"


class Reading(Struct, frozen=True, kw_only=True):
    """The last answer. `rings`: why; `unknown`: why there is none; both empty: it is well. `in_row`: so many answers
    one after the other have rung."""

    alarm: str
    at: datetime
    rings: str = ""
    unknown: str = ""
    in_row: int = 0
