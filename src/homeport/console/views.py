"""What the API says, as structs; what it is asked is in `console.request`. Made in `console.derive`; `cli.door` decodes
the same structs. The field names are the stable names of `--json`. Imports little: every command waits for it."""

from datetime import datetime

from msgspec import Struct

from homeport.errors import HomeportError, Unavailable
from homeport.model.deployment import Entry
from homeport.model.event import Event
from homeport.model.freeze import Freeze
from homeport.model.platform import Route
from homeport.model.retention import Kept, Removal


class ProcessView(Struct, frozen=True, kw_only=True):
    """One process of an instance. `state`: "up", "down", or "waits" for those that it comes after. `port`: what it is
    given as PORT. `exits`: how often it has ended by itself, the last time as `last_exit` says."""

    name: str
    state: str
    since_at: datetime | None
    port: int | None
    exits: int
    last_exit: str


class InstanceView(Struct, frozen=True, kw_only=True):
    """One instance. `pid`: the sandbox's pid 1 on the host; `release` as "r3". `oom_kills`: how many of its processes
    the kernel killed for want of memory since it began. `name`: that it shares with its like within its network;
    `public_address`: from which it goes out; both empty where there is none, or nobody knows."""

    id: str
    app: str
    group: str
    zone: str
    state: str
    release: str
    address: str
    port: int | None
    pid: int | None
    check: str
    target: str
    reason: str
    generation: int
    created_at: datetime
    started_at: datetime | None
    in_flight: int | None
    oom_kills: int = 0
    processes: tuple[ProcessView, ...] = ()
    name: str = ""
    public_address: str = ""


class SessionView(Struct, frozen=True, kw_only=True):
    """A command that somebody runs, in a one-off instance of its own (`run`) or in a live one (`exec`). `exit_code`
    None: it goes on, or nobody can know."""

    id: str
    kind: str
    app: str
    group: str
    instance: str
    release: str
    command: str
    by: str
    detached: bool
    began_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    reason: str


class MaintenanceView(Struct, frozen=True, kw_only=True):
    """The public side of `app` (None: of all apps) answers 503 to all but the networks of `allow`. `own_page`: with a
    page of the app's."""

    app: str | None
    since_at: datetime
    by: str
    why: str
    allow: tuple[str, ...]
    own_page: bool


class TaskView(Struct, frozen=True, kw_only=True):
    """A one-off process of a deployment that goes on: its release task, or an alarm's command."""

    id: str
    app: str


class InstanceList(Struct, frozen=True, kw_only=True):
    environment: str
    instances: tuple[InstanceView, ...]
    sessions: tuple[SessionView, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    maintenance: tuple[MaintenanceView, ...] = ()
    closing: bool = False
    """It is going down."""


class BreakerView(Struct, frozen=True, kw_only=True):
    """A launch breaker that isn't closed. `phase`: "waiting", "open", "half-open". `failures`: rounds in a row.
    `spent_hours`: instance-hours in them. `until_at`: no launch before. `specimen`: kept for a look; empty: none."""

    release: str
    phase: str
    failures: int
    launches: int
    spent_hours: float
    last_at: datetime | None
    until_at: datetime | None
    reason: str
    specimen: str


class CycleView(Struct, frozen=True, kw_only=True):
    """`left`: instances that are still to be replaced. `stopped`: why none is any more; empty: it goes on."""

    left: int
    batch: int
    by: str
    since_at: datetime
    older_than_at: datetime
    stopped: str = ""


class GroupView(Struct, frozen=True, kw_only=True):
    """`notes`: what isn't done for it just now, and why. `fail_open`: all its targets are unhealthy, and get requests
    all the same. `suspended`: what it doesn't do by itself.

    `desired` None: nothing is known of the release that new instances get. `scaled`: what `scale` asked for, None
    where the file's count holds. `healthy`: InService and healthy."""

    name: str
    desired: int | None
    running: int
    healthy: int
    releases: tuple[str, ...]
    balanced: bool
    scaled: int | None = None
    breakers: tuple[BreakerView, ...] = ()
    notes: tuple[str, ...] = ()
    fail_open: bool = False
    suspended: tuple[str, ...] = ()
    standby: tuple[str, ...] = ()
    cycle: CycleView | None = None


class DeploymentView(Struct, frozen=True, kw_only=True):
    """One deployment in short. `verdict` empty: it goes on."""

    number: int
    app: str
    release: str
    previous: str | None
    strategy: str
    phase: str
    verdict: str
    summary: str
    by: str
    why: str
    started_at: datetime
    ended_at: datetime | None
    waits_for: str = ""


class AppView(Struct, frozen=True, kw_only=True):
    """`release`: what new instances get; None before the first good deployment. `routes`: those that hold."""

    app: str
    release: str | None
    groups: tuple[GroupView, ...]
    deployment: DeploymentView | None
    routes: tuple[Route, ...] = ()


class ZoneView(Struct, frozen=True, kw_only=True):
    """`failure`: "kill" or "freeze", since `since_at`; empty: it is well. `instances`: that live in it, as far as
    anybody knows."""

    zone: str
    failure: str
    since_at: datetime | None
    instances: int


class CertificateView(Struct, frozen=True, kw_only=True):
    """`days_left`: whole ones, negative once it has ended. `problems`: what clients find wrong, or soon will."""

    names: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    days_left: int
    problems: tuple[str, ...]


class DiskView(Struct, frozen=True, kw_only=True):
    """Bytes on the engine's disk: what can still be written, and what lies there, as it was at `measured_at` (None:
    nothing was measured yet). `environment_*`: of the environment asked for; the others: of all. `nearly_full`: it is
    time for `homeport gc`."""

    free_bytes: int
    total_bytes: int
    nearly_full: bool
    measured_at: datetime | None = None
    environment_instances_bytes: int = 0
    environment_logs_bytes: int = 0
    store_bytes: int = 0
    layers_bytes: int = 0
    instances_bytes: int = 0
    logs_bytes: int = 0
    builds_bytes: int = 0


class StoreView(Struct, frozen=True, kw_only=True):
    """The object store. `problem`: why it can't be used just now; empty: it answers."""

    place: str
    problem: str


class StatusView(Struct, frozen=True, kw_only=True):
    """`trouble`: why the control loop couldn't do everything at its last tick; empty: it could."""

    environment: str
    platform: str
    name: str
    engine: str
    mode: str
    urls: tuple[str, ...]
    closing: bool
    trouble: str
    apps: tuple[AppView, ...]
    at: datetime
    store: StoreView
    disk: DiskView | None = None
    """None: it can't be looked at."""
    certificate: CertificateView | None = None
    """None: it speaks plain HTTP."""
    freeze: Freeze | None = None
    """None: one may deploy, or nobody knows (`store` says why)."""
    zones: tuple[ZoneView, ...] = ()
    maintenance: tuple[MaintenanceView, ...] = ()


class Done(Struct, frozen=True, kw_only=True):
    """`changed` False: it was so already."""

    changed: bool = True


class EnvironmentView(Struct, frozen=True, kw_only=True):
    """An environment that is up."""

    environment: str
    platform: str
    name: str
    engine: str
    urls: tuple[str, ...]


class EnvironmentList(Struct, frozen=True, kw_only=True):
    environments: tuple[EnvironmentView, ...]


class DeploymentList(Struct, frozen=True, kw_only=True):
    deployments: tuple[DeploymentView, ...]


class JournalView(Struct, frozen=True, kw_only=True):
    """Entries of a deployment after the first `after` ones. `waits_for`: what the next step needs."""

    number: int
    app: str
    after: int
    entries: tuple[Entry, ...]
    waits_for: str
    ended: bool


class EventList(Struct, frozen=True, kw_only=True):
    events: tuple[Event, ...]


class VersionView(Struct, frozen=True, kw_only=True):
    version: str
    pid: int


class MaintenanceList(Struct, frozen=True, kw_only=True):
    """What is closed now."""

    maintenance: tuple[MaintenanceView, ...]


class Prepared(Struct, frozen=True, kw_only=True):
    """Whether a release lies ready; `failed`: why it never will, `disk_full`: and that it isn't for the release.
    Neither ready nor failed: it goes on."""

    app: str
    release: int
    ready: bool
    failed: str = ""
    disk_full: bool = False


class Begun(Struct, frozen=True, kw_only=True):
    """A deployment has begun."""

    app: str
    number: int


class Scaled(Struct, frozen=True, kw_only=True):
    app: str
    group: str
    desired: int


class CleanedView(Struct, frozen=True, kw_only=True):
    """What went, or with `dry_run` would go, and what stays though it is old. `what`: a key of the store, or a path
    below $HOMEPORT_HOME. `problems`: why something couldn't be looked at or removed."""

    dry_run: bool
    freed_bytes: int
    store: tuple[Removal, ...]
    machine: tuple[Removal, ...]
    kept: tuple[Kept, ...]
    problems: tuple[str, ...]


class ErrorView(Struct, frozen=True, kw_only=True):
    """An error of `homeport.errors`, as the API and `--json` say it."""

    kind: str
    message: str
    hint: str | None = None
    details: tuple[str, ...] = ()
    retry_after_seconds: float | None = None


class ErrorBody(Struct, frozen=True, kw_only=True):
    error: ErrorView


def error_body(error: HomeportError) -> ErrorBody:
    """The error's fields, for the API and for `--json`."""
    after = error.retry_after if isinstance(error, Unavailable) else None
    return ErrorBody(
        error=ErrorView(
            kind=error.kind,
            message=error.message,
            hint=error.hint,
            details=error.details,
            retry_after_seconds=None if after is None else after.total_seconds(),
        )
    )
