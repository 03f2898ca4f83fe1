"""A deployment: its journal's entries, and the state that they fold to."""

import enum
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.platform import Strategy


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
    max_unavailable: int
    task: str | None
    by: str
    why: str


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
    """rolling: so many instances of each group of the stage shall now run the new release."""

    at: datetime
    count: int


class Switched(Struct, frozen=True, kw_only=True, tag=True):
    """New instances get the new release from here on, traffic goes to it, and its routes hold."""

    at: datetime


class Baking(Struct, frozen=True, kw_only=True, tag=True):
    """Everything runs and serves the new release; the verdict falls at `until_at`."""

    at: datetime
    until_at: datetime


class Reverting(Struct, frozen=True, kw_only=True, tag=True):
    at: datetime
    verdict: Verdict
    evidence: Evidence


class Ended(Struct, frozen=True, kw_only=True, tag=True):
    at: datetime
    verdict: Verdict
    evidence: Evidence


Entry = Started | Prepared | TaskStarted | TaskEnded | Staged | Moved | Switched | Baking | Reverting | Ended


class Deployment(Struct, frozen=True, kw_only=True):
    """The fold of a journal. Times are those of its entries."""

    started: Started
    phase: Phase = Phase.PREPARE
    task_started_at: datetime | None = None
    task_exit_code: int | None = None
    launch_at: datetime | None = None
    stage: int = 0
    moved: int = 0
    moved_at: datetime | None = None
    switched_at: datetime | None = None
    bake_until_at: datetime | None = None
    reverting: Reverting | None = None
    ended: Ended | None = None

    @property
    def id(self) -> str:
        return str(self.started.number)

    @property
    def task_id(self) -> str:
        """Identity of the release task: started at most once under it."""
        return f"{self.started.app}-release-d{self.started.number}"
