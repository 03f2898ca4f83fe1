"""A deployment: its journal's entries, and the state that they fold to."""

import enum
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from homeport.model.alarm import Alarm
from homeport.model.platform import Amount, Strategy, Weight


class Verdict(enum.Enum):
    """How a deployment ended."""

    GOOD = "good"
    FAILED = "failed"
    ABORTED = "aborted"
    INCONCLUSIVE = "inconclusive"
    INFRASTRUCTURE = "infrastructure"


class Phase(enum.Enum):
    """Where a deployment is. REVERTING: every group goes back to the release it had."""

    PREPARE = "prepare"
    TASK = "task"
    LAUNCH = "launch"
    BAKE = "bake"
    REVERTING = "reverting"
    ENDED = "ended"


class GroupChange(Struct, frozen=True, kw_only=True):
    """One group in a deployment, fixed when it starts. Counts are 0 where a release doesn't have the group. `kept`:
    both releases run the very same in it, so its instances stay. `stage`: it begins once those of lower ones are up."""

    name: str
    old_count: int
    new_count: int
    in_place: bool = False
    kept: bool = False
    stage: int = 0
    batches: tuple[int, ...] = ()
    """In place: how many run the new release after each batch."""
    zones: tuple[str, ...] = ()
    """In place, by zone: that of each batch."""
    surge: int = 0
    """In place: so many of the new come beside the old."""
    floor: int = 0
    """In place: so many serve at least, on the way there and back."""
    canary: bool = False
    """Its share of the requests rises step by step."""
    aside: int | None = None
    """The release of instances that were kept for a way back, and run what the new release runs: they become its."""
    aside_count: int = 0
    turn: timedelta = timedelta()
    """In place: how long the turn of one instance may take at most: drained, stopped, started."""


class Evidence(Struct, frozen=True, kw_only=True):
    """Why a release was refused: the failing instance's own last words, for people."""

    summary: str
    instance: str = ""
    lines: tuple[str, ...] = ()
    """Explained health response, last log lines, exit: each a line to print."""
    hint: str = ""


class Started(Struct, frozen=True, kw_only=True, tag=True):
    """First entry. `previous` None: there is no release to go back to."""

    at: datetime
    app: str
    environment: str
    number: int
    release: int
    previous: int | None
    strategy: Strategy
    groups: tuple[GroupChange, ...]
    bake: timedelta
    grace: timedelta
    task: str | None
    by: str
    why: str
    over_freeze: str = ""
    """Why it was begun although the environment was frozen; empty: it wasn't."""
    keep_old: timedelta | None = None
    """blue-green: for how long the old instances are kept aside after a good verdict."""
    pause_after: Amount | None = None
    """Where a person is waited for."""
    timeout: timedelta | None = None
    alarms: tuple[Alarm, ...] = ()
    steps: tuple[Weight, ...] = ()
    """canary."""
    min_requests: int = 0
    inconclusive: Literal["continue", "back"] = "back"


class Prepared(Struct, frozen=True, kw_only=True, tag=True):
    """The release lies ready on the engine."""

    at: datetime


class TaskStarted(Struct, frozen=True, kw_only=True, tag=True):
    """Written before the release task is started: it runs once, or the deployment says that it can't know."""

    at: datetime


class TaskEnded(Struct, frozen=True, kw_only=True, tag=True):
    at: datetime
    exit_code: int


class Staged(Struct, frozen=True, kw_only=True, tag=True):
    """The groups of all earlier stages are up: those of this one begin."""

    at: datetime
    stage: int
    groups: tuple[str, ...] = ()
    """Their names, for people."""


class Moved(Struct, frozen=True, kw_only=True, tag=True):
    """In place: batches of each group of the stage that shall have moved, this one the last. `groups`: how many run the
    new release then, for people."""

    at: datetime
    batch: int = 0
    groups: dict[str, int] = {}


class Paused(Struct, frozen=True, kw_only=True, tag=True):
    """A person is waited for. `reached`: how far it is, for people."""

    at: datetime
    reached: str


class Continued(Struct, frozen=True, kw_only=True, tag=True):
    """A person has let it go on."""

    at: datetime
    by: str


class Resized(Struct, frozen=True, kw_only=True, tag=True):
    """Somebody has scaled: the groups change so from here on. `counts`: of those that were, for people."""

    at: datetime
    groups: tuple[GroupChange, ...]
    counts: dict[str, int] = {}


class Shared(Struct, frozen=True, kw_only=True, tag=True):
    """canary: the new release gets so many percent of the requests from here on."""

    at: datetime
    step: int
    percent: int


class Watched(Struct, frozen=True, kw_only=True, tag=True):
    """canary: all its instances serve; what they answer from here on is judged, until `until_at`."""

    at: datetime
    until_at: datetime


class Judged(Struct, frozen=True, kw_only=True, tag=True):
    """canary: the step has passed. `few`: nobody can know, for too little was seen; empty: it did no worse."""

    at: datetime
    step: int
    few: str = ""


class Switched(Struct, frozen=True, kw_only=True, tag=True):
    """New instances get the new release from here on, traffic goes to it, and its routes hold."""

    at: datetime


class Baking(Struct, frozen=True, kw_only=True, tag=True):
    """Everything runs and serves the new release; the verdict falls at `until_at`."""

    at: datetime
    until_at: datetime


class Reverting(Struct, frozen=True, kw_only=True, tag=True):
    """Every group goes back to the release it had. `by`, `why`: of the person who aborted it; empty: nobody did."""

    at: datetime
    verdict: Verdict
    evidence: Evidence
    by: str = ""
    why: str = ""


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    at: datetime
    verdict: Verdict
    evidence: Evidence


Progress = Staged | Moved | Paused | Continued | Resized | Shared | Watched | Judged | Switched
"""How far it is; of no phase's end."""

Entry = Started | Prepared | TaskStarted | TaskEnded | Progress | Baking | Reverting | Ended


class Deployment(Struct, frozen=True, kw_only=True):
    """The fold of a journal. Times are those of its entries."""

    started: Started
    """With its groups as they are to change by now."""
    phase: Phase = Phase.PREPARE
    task_started_at: datetime | None = None
    task_exit_code: int | None = None
    launch_at: datetime | None = None
    stage: int = 0
    moved: int = 0
    """Batches of the stage."""
    paused_at: datetime | None = None
    continued_at: datetime | None = None
    step: int = 0
    """Of the canary."""
    step_percent: int = 0
    step_since_at: datetime | None = None
    step_until_at: datetime | None = None
    judged: int = 0
    """Steps."""
    inconclusive: tuple[int, ...] = ()
    """Steps of which nobody can know."""
    switched_at: datetime | None = None
    bake_until_at: datetime | None = None
    reverting: Reverting | None = None
    ended: Ended | None = None

    @property
    def id(self) -> str:
        return str(self.started.number)

    @property
    def waits_at_gate(self) -> bool:
        return self.phase is Phase.LAUNCH and self.paused_at is not None and self.continued_at is None

    @property
    def task_id(self) -> str:
        """Identity of the release task: started at most once under it."""
        return f"{self.started.app}-release-d{self.started.number}"
