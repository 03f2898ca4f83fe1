"""How the views follow from what control knows. Called by `console.queries`, and by commands that read the store
themselves."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from homeport.console.views import (
    AppView,
    CertificateView,
    CleanedView,
    DeploymentView,
    DiskView,
    EnvironmentView,
    GroupView,
    InstanceView,
    MaintenanceView,
    ProcessView,
    SessionView,
)
from homeport.model.asked import Asked
from homeport.model.certificate import Certificate
from homeport.model.deployment import Entry, Phase
from homeport.model.fleet import Check, Instance, Observation, Process, State
from homeport.model.platform import Place, Resolved, Route
from homeport.model.retention import Cleaned, Room, Usage
from homeport.model.session import Session
from homeport.plan import certificate
from homeport.plan.desired import size
from homeport.plan.journal import fold
from homeport.plan.remains import nearly_full


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
        oom_kills=instance.oom_kills,
        processes=tuple(process_view(each) for each in instance.processes),
        name=instance.name,
        public_address=instance.public_address,
    )


def maintenance_views(asked: Asked) -> tuple[MaintenanceView, ...]:
    """Of the whole environment first."""
    return tuple(
        MaintenanceView(
            app=each.app or None,
            since_at=each.since_at,
            by=each.by,
            why=each.why,
            allow=each.allow,
            own_page=bool(each.page),
        )
        for each in sorted(asked.maintenance, key=lambda each: each.app)
    )


def process_view(process: Process) -> ProcessView:
    waits = process.since_at is None and not process.exits
    return ProcessView(
        name=process.name,
        state="up" if process.up else "waits" if waits else "down",
        since_at=process.since_at,
        port=process.port,
        exits=process.exits,
        last_exit=process.last_exit,
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
    problems = [*certificate.problems(found, hosts, now)]
    if found.trouble:
        problems.append(f"isn't the one on disk, which can't be used: {found.trouble}")
    return CertificateView(
        names=found.names,
        starts_at=found.starts_at,
        ends_at=found.ends_at,
        days_left=certificate.days_left(found, now),
        problems=tuple(problems),
    )
