"""What the API says, as structs, and how it follows from what control knows. Called by `console.api`; the client in
`cli.client` decodes the same structs. The field names are the stable names of `--json`."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from homeport.errors import HomeportError, Unavailable
from homeport.model.certificate import Certificate
from homeport.model.deployment import Entry, Phase
from homeport.model.event import Event
from homeport.model.fleet import Check, Instance, Observation, State
from homeport.model.platform import Place, Resolved, Route
from homeport.model.retention import Cleaned, Kept, Removal, Room, Usage
from homeport.model.session import Session
from homeport.plan import certificate
from homeport.plan.desired import size
from homeport.plan.journal import fold
from homeport.plan.remains import nearly_full


class InstanceView(Struct, frozen=True, kw_only=True):
    """One instance. `pid`: the sandbox's pid 1 on the host; `release` as "r3"."""

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


class InstanceList(Struct, frozen=True, kw_only=True):
    environment: str
    instances: tuple[InstanceView, ...]
    sessions: tuple[SessionView, ...] = ()


class GroupView(Struct, frozen=True, kw_only=True):
    """`desired` None: nothing is known of the release that new instances get. `scaled`: what `scale` asked for, None
    where the file's count holds. `healthy`: InService and healthy."""

    name: str
    desired: int | None
    running: int
    healthy: int
    releases: tuple[str, ...]
    balanced: bool
    scaled: int | None = None


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


class DeployRequest(Struct, frozen=True, kw_only=True):
    """`restart`: every instance is replaced, also of groups in which nothing has changed."""

    app: str
    release: int
    by: str
    why: str
    restart: bool = False


class PrepareRequest(Struct, frozen=True, kw_only=True):
    app: str
    release: int


class Prepared(Struct, frozen=True, kw_only=True):
    """Whether a release lies ready; `failed`: why it never will. Neither: it goes on."""

    app: str
    release: int
    ready: bool
    failed: str = ""


class ScaleRequest(Struct, frozen=True, kw_only=True):
    app: str
    group: str
    count: int


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


# --- from what control knows ------------------------------------------------------------------------------------------


def instance_view(instance: Instance, reasons: Mapping[str, str]) -> InstanceView:
    """`reasons`: instance → why the fleet decider treats it as it does; the instance's own word goes first."""
    return InstanceView(
        id=instance.id,
        app=instance.app,
        group=instance.group,
        zone=instance.zone,
        state=instance.state.value,
        release=f"r{instance.release}",
        address=instance.address,
        port=instance.port,
        pid=instance.pid,
        check=instance.check.value,
        target=instance.target.value,
        reason=instance.reason or reasons.get(instance.id, ""),
        generation=instance.generation,
        created_at=instance.created_at,
        started_at=instance.started_at,
        in_flight=instance.in_flight,
    )


def instance_views(observed: Observation, reasons: Mapping[str, str], *, ended: bool) -> tuple[InstanceView, ...]:
    """Sorted by app, group and age. `ended`: those that are Terminated too."""
    shown = [each for each in observed.instances if ended or each.state is not State.TERMINATED]
    shown.sort(key=lambda each: (each.app, each.group, each.created_at, each.id))
    return tuple(instance_view(each, reasons) for each in shown)


def session_views(sessions: Iterable[Session], *, ended: bool) -> tuple[SessionView, ...]:
    """The oldest first. `ended`: also those that are over."""
    shown = sorted(sessions, key=lambda each: each.began_at)
    return tuple(session_view(each) for each in shown if ended or each.ended_at is None)


def session_view(session: Session) -> SessionView:
    return SessionView(
        id=session.id,
        kind=session.kind,
        app=session.app,
        group=session.group,
        instance=session.instance,
        release=f"r{session.release}",
        command=session.command,
        by=session.by,
        detached=session.detached,
        began_at=session.began_at,
        ended_at=session.ended_at,
        exit_code=session.exit_code,
        reason=session.reason,
    )


def environment_view(place: Place, url: str) -> EnvironmentView:
    return EnvironmentView(
        environment=place.id, platform=place.platform, name=place.name, engine=place.engine, urls=(url,)
    )


def deployment_view(entries: Iterable[Entry], waits_for: str = "") -> DeploymentView:
    """A journal in short. Raises ValueError for an empty one."""
    deployment = fold(tuple(entries))
    started, ended, reverting = deployment.started, deployment.ended, deployment.reverting
    summary = ended.evidence.summary if ended else reverting.evidence.summary if reverting else ""
    return DeploymentView(
        number=started.number,
        app=started.app,
        release=f"r{started.release}",
        previous=None if started.previous is None else f"r{started.previous}",
        strategy=started.strategy,
        phase=deployment.phase.value,
        verdict=ended.verdict.value if ended else "",
        summary=summary,
        by=started.by,
        why=started.why,
        started_at=started.at,
        ended_at=ended.at if ended else None,
        waits_for="" if deployment.phase is Phase.ENDED else waits_for,
    )


def app_view(
    app: str,
    observed: Observation,
    *,
    resolved: Resolved | None,
    sizes: Mapping[str, int],
    deployment: DeploymentView | None,
    routes: tuple[Route, ...] = (),
) -> AppView:
    """`resolved`: of the release that new instances get; None where there is none or it can't be read."""
    live = [each for each in observed.instances if each.app == app and each.state is not State.TERMINATED]
    named = [group.name for group in resolved.groups] if resolved else []
    names = dict.fromkeys(named + sorted({each.group for each in live}))
    launch = observed.launch.get(app)
    groups = tuple(_group_view(name, live, resolved, sizes) for name in names)
    return AppView(
        app=app,
        release=None if launch is None else f"r{launch}",
        groups=groups,
        deployment=deployment,
        routes=routes,
    )


def _group_view(name: str, live: list[Instance], resolved: Resolved | None, sizes: Mapping[str, int]) -> GroupView:
    here = [each for each in live if each.group == name]
    group = resolved.group(name) if resolved else None
    in_service = [each for each in here if each.state is State.IN_SERVICE]
    desired = None if resolved is None else 0 if group is None else size(group, sizes)
    return GroupView(
        name=name,
        desired=desired,
        running=len(in_service),
        healthy=sum(each.check is Check.HEALTHY for each in in_service),
        releases=tuple(f"r{number}" for number in sorted({each.release for each in here})),
        balanced=group.balanced if group else any(each.port is not None for each in here),
        scaled=sizes.get(name),
    )


def cleaned_view(done: Cleaned) -> CleanedView:
    stored = tuple(each for _, swept in sorted(done.store.items()) for each in swept.going)
    kept = tuple(each for _, swept in sorted(done.store.items()) for each in swept.kept)
    return CleanedView(
        dry_run=done.dry_run,
        freed_bytes=sum(each.size_bytes for each in (*stored, *done.machine.going)),
        store=stored,
        machine=done.machine.going,
        kept=(*kept, *done.machine.kept),
        problems=done.problems,
    )


def disk_view(room: Room, usage: Usage | None, environment: str) -> DiskView:
    full = nearly_full(room)
    if usage is None:
        return DiskView(free_bytes=room.free_bytes, total_bytes=room.total_bytes, nearly_full=full)
    instances, logs = usage.environments.get(environment, (0, 0))
    return DiskView(
        free_bytes=room.free_bytes,
        total_bytes=room.total_bytes,
        nearly_full=full,
        measured_at=usage.measured_at,
        environment_instances_bytes=instances,
        environment_logs_bytes=logs,
        store_bytes=usage.store_bytes,
        layers_bytes=usage.layers_bytes,
        instances_bytes=usage.instances_bytes,
        logs_bytes=usage.logs_bytes,
        builds_bytes=usage.builds_bytes,
    )


def certificate_view(found: Certificate | None, apps: Iterable[AppView], now: datetime) -> CertificateView | None:
    """None where there is none. `apps`: whose routes say for which hosts it must be."""
    if found is None:
        return None
    hosts = [route.host for app in apps for route in app.routes if route.host is not None]
    problems = certificate.problems(found, hosts, now)
    return CertificateView(
        names=found.names,
        starts_at=found.starts_at,
        ends_at=found.ends_at,
        days_left=certificate.days_left(found, now),
        problems=(*problems, *((f"a newer one isn't used: {found.trouble}",) if found.trouble else ())),
    )


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
