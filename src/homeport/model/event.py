"""What happened, for people: written by the control loop and the engine, read by `homeport events` and `why`."""

from datetime import datetime

from msgspec import Struct


class Sight(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was known of an instance when a rule fired, in words; empty: nothing."""

    state: str
    run: str
    check: str
    check_since_at: datetime | None = None
    target: str = ""
    zone: str = ""
    died: bool = False
    oom_kills: int = 0
    disk_full: bool = False
    in_flight: int | None = None
    exits: tuple[str, ...] = ()
    """Of its processes, each with how often it has ended."""
    asked: str = ""
    """The last question of its health check, and what came back."""
    answered: str = ""
    answered_at: datetime | None = None


class Decided(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a decision came about. `rule`: the name of the one that fired, on what was observed at `observed_at`."""

    rule: str
    observed_at: datetime
    group: str = ""
    """Empty: a deployment's decision."""
    release: int | None = None
    cause: str = ""
    """Why the instance departs, in a word: see `plan.departure`."""
    replaces: str = ""
    """In whose place it is launched."""
    seen: Sight | None = None


class Event(Struct, frozen=True, kw_only=True):
    """`number` grows by one per event of an engine; 0 until it is stored."""

    at: datetime
    environment: str
    kind: str
    """Snake case: `launch`, `put_in_service`, `deployment_ended`, …"""
    subject: str
    message: str
    app: str = ""
    number: int = 0
    decided: Decided | None = None
    """None: nobody but a person, or time, decided it."""
    asked: tuple[str, ...] = ()
    """What a person asked for, where the kind doesn't say it: the processes suspended or resumed, `enter` or `exit`,
    the instance that a session is in."""
