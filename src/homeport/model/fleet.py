"""Groups and instances: what is wanted, and what is seen."""

import enum
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.asked import GroupAsked, Suspendable
from homeport.model.canary import Share
from homeport.model.platform import Breaker, Hook, HookResult


class State(enum.Enum):
    """AWS's life cycle. In a `Wait` a hook is asked."""

    PENDING = "Pending"
    PENDING_WAIT = "Pending:Wait"
    IN_SERVICE = "InService"
    STANDBY = "Standby"
    TERMINATING_WAIT = "Terminating:Wait"
    TERMINATING = "Terminating"
    TERMINATED = "Terminated"


NEXT_STATES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.PENDING_WAIT, State.IN_SERVICE, State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED}
    ),
    State.PENDING_WAIT: frozenset(
        # Pending again: its next generation, in place
        {State.PENDING, State.IN_SERVICE, State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED}
    ),
    State.IN_SERVICE: frozenset(
        {State.PENDING, State.STANDBY, State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED}
    ),
    State.STANDBY: frozenset(
        {State.PENDING, State.IN_SERVICE, State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED}
    ),
    State.TERMINATING_WAIT: frozenset({State.TERMINATING, State.TERMINATED}),
    State.TERMINATING: frozenset({State.TERMINATED}),
    State.TERMINATED: frozenset(),
}
"""Which states may follow. Terminated follows all of them: what has died is only cleaned up."""


class Run(enum.Enum):
    """What an instance's current generation does. UNKNOWN never authorises destruction."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class Check(enum.Enum):
    """Outcome of a health check: INITIAL until the first success or the end of the grace period."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


class Target(enum.Enum):
    """What the balancer does with it. UNUSED: not registered."""

    UNUSED = "unused"
    READY = "ready"
    DRAINING = "draining"


class Process(Struct, frozen=True, kw_only=True):
    """One process type inside an instance. `exits` counts since the generation started. `since_at` None: it hasn't
    begun. `port`: what it is given as PORT. `out_of_memory`: the kernel ended it for that, the last time."""

    name: str
    up: bool
    since_at: datetime | None = None
    exits: int = 0
    last_exit: str = ""
    out_of_memory: bool = False
    port: int | None = None


class Silence(enum.Enum):
    """Why a probe got no answer."""

    REFUSED = "refused"
    TIMEOUT = "timeout"
    OTHER = "other"


class Probe(Struct, frozen=True, kw_only=True):
    """The last health response: what was asked, and what came. `silence` None: an answer came, or nobody noted why none
    did."""

    asked: str
    ok: bool
    at: datetime
    error: str = ""
    silence: Silence | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    body: str = ""


class HookWait(Struct, frozen=True, kw_only=True):
    """A hook that was asked. `beat_at`: the last sign of life. `result` None: no answer yet."""

    hook: Hook
    asked_at: datetime
    beat_at: datetime
    result: HookResult | None = None
    said: str = ""
    """What it said last, for people."""


class Instance(Struct, frozen=True, kw_only=True):
    """One server of a group, as observed."""

    id: str
    app: str
    group: str
    zone: str
    release: int
    """Number of the release that the current generation runs, or will run when it starts; of a later one that runs the
    very same, once it was inherited."""
    generation: int = 1
    state: State = State.PENDING
    run: Run = Run.STARTING
    check: Check = Check.INITIAL
    check_since_at: datetime | None = None
    """Since when the check says so; None: not known, then nothing is done about it."""
    target: Target = Target.UNUSED
    next_release: int | None = None
    """Set while the instance is between two generations in place."""
    unheard: int | None = None
    """The release that nobody could tell it to bring: it doesn't hear commands."""
    in_flight: int | None = None
    """Requests and open connections through the balancer, old workers included; None: not known."""
    address: str = ""
    name: str = ""
    """By which others within its network reach it and its like; empty: by none of its own."""
    public_address: str = ""
    """From which it goes out into the world; empty: not known, or from the machine's."""
    port: int | None = None
    pid: int | None = None
    """Pid 1 of the sandbox, as the host sees it."""
    created_at: datetime
    started_at: datetime | None = None
    """When the current generation was started."""
    in_service_at: datetime | None = None
    """When it got in service, as the generation that it is or an earlier one: before `started_at` then."""
    ended_at: datetime | None = None
    died: bool = False
    """It ended, or its processes did, without anybody having asked."""
    launched: bool = True
    """False: whoever lends machines refused one, and there never was anything."""
    drain_at: datetime | None = None
    stop_at: datetime | None = None
    killed: bool = False
    processes: tuple[Process, ...] = ()
    probe: Probe | None = None
    oom_kills: int = 0
    """How often the kernel killed one of its generation's processes for want of memory."""
    oom_kills_well: int = 0
    """As many of these there were when it was well last: it has got over them."""
    disk_full: bool = False
    """What it may write to is full, or was since it was healthy last."""
    zone_failed: bool = False
    """It ended with its zone."""
    hook: HookWait | None = None
    """The hook that was asked last: at its launch, or once it is Terminating:Wait, at its end."""
    reason: str = ""
    """Why it isn't well, or why it ended."""


class Task(Struct, frozen=True, kw_only=True):
    """A one-off process, such as a release task. `exit_code` None: still running; `lost`: nobody can know; `stop_at`:
    when it was told to end before its time."""

    id: str
    app: str
    exit_code: int | None = None
    lost: bool = False
    stop_at: datetime | None = None
    tail: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        return self.exit_code is not None or self.lost

    @property
    def interrupted(self) -> bool:
        """What it did can't be known."""
        return self.lost or (self.stop_at is not None and self.exit_code not in (None, 0))


class Preparation(Struct, frozen=True, kw_only=True):
    """Whether a release's layers and config lie ready on the engine. `failed`: why they never will; `disk_full`: and
    that it wasn't for the release."""

    app: str
    release: int
    ready: bool = False
    failed: str = ""
    disk_full: bool = False


class Capacity(Struct, frozen=True, kw_only=True):
    """How many instances a group keeps by itself. `protected`: those that it doesn't end for their number; `held`: what
    a breaker keeps it from doing."""

    app: str
    group: str
    count: int
    protected: tuple[str, ...] = ()
    held: tuple[Suspendable, ...] = ()


class Observation(Struct, frozen=True, kw_only=True):
    """All that an engine knows of one environment at `at`. Terminated instances appear until they are forgotten."""

    at: datetime
    instances: tuple[Instance, ...] = ()
    tasks: tuple[Task, ...] = ()
    prepared: tuple[Preparation, ...] = ()
    routes: dict[str, int] = {}
    """App → number of the release whose routes the balancer has."""
    launch: dict[str, int] = {}
    """App → number of the release that new instances get."""
    closing: bool = False
    """The environment goes down: nothing is wanted in it any more."""
    leaving: frozenset[str] = frozenset()
    """Apps of which nothing is wanted in it any more, and no route holds."""
    last_ordinal: dict[str, int] = {}
    """Per group name: the highest ordinal ever used in an instance id here."""
    fence: dict[str, int] = {}
    """App → the highest fence under which anything was done to it."""
    failed_zones: tuple[str, ...] = ()
    """Nothing in them can be reached or launched: their instances count as lost, whatever else is said of them."""
    shares: dict[str, tuple[Share, ...]] = {}
    """App → how requests are shared where not evenly."""
    fail_open: tuple[tuple[str, str], ...] = ()
    """(app, group) whose targets get requests whatever their checks say."""
    capacity: tuple["Capacity", ...] = ()
    """Of an engine that heals: of every group that it has."""


class Cohort(Struct, frozen=True, kw_only=True):
    """`count` instances of one release in a group. `serving`: they get traffic. `launch` False: those there are kept,
    none is made. `in_place`: made of instances that no cohort wants, as their next generation. `inherits`: the release
    whose instances run the very same, and become the cohort's as they are. `avoid`: zones whose instances are the first
    to be given up."""

    release: int
    count: int
    serving: bool = True
    launch: bool = True
    in_place: bool = False
    inherits: int | None = None
    avoid: tuple[str, ...] = ()


class GroupDesired(Struct, frozen=True, kw_only=True):
    """What one group shall be: the whole input, beside the observation, of the fleet decider."""

    app: str
    name: str
    cohorts: tuple[Cohort, ...]
    zones: tuple[str, ...]
    balanced: bool
    stop_grace: timedelta
    drain: timedelta
    max: int = 0
    """How many there may be, beside `surge`; where the cohorts say more, as many as these."""
    surge: int = 1
    replace_budget: int = 1
    grace: timedelta = timedelta(seconds=30)
    replaced_after: timedelta = timedelta(seconds=10)
    max_lifetime: timedelta | None = None
    breaker: Breaker = Breaker()
    launching: Hook | None = None
    terminating: Hook | None = None
    trial: int | None = None
    """The release that a deployment is trying: it judges that one's instances, and nobody is replaced for his age."""
    asked: GroupAsked | None = None
    floor: int = 0
    """So many carry on at least while others become their next generation."""
