"""A command that a person has run beside what the fleet runs: in a one-off instance (`run`), or inside a live one
(`exec`)."""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct


class Session(Struct, frozen=True, kw_only=True):
    """Its id is the kind and an ordinal, `run.3`: no instance can have that id."""

    id: str
    kind: Literal["run", "exec"]
    app: str
    group: str
    instance: str
    """Where it runs; a one-off is an instance of its own, with the session's id."""
    release: int
    command: str
    """As it was typed. What was given for its environment isn't in it."""
    by: str
    detached: bool = False
    grace: timedelta
    """From TERM to KILL."""
    began_at: datetime
    stop_at: datetime | None = None
    """When it was told to end before its time."""
    ended_at: datetime | None = None
    exit_code: int | None = None
    """None: it goes on, or nobody can know."""
    reason: str = ""
    """Why it ended, where the exit code doesn't say it."""
