"""The local engine: one Linux machine. Implements `ports.engine.Engine`; observes, executes single actions, decides
nothing. Parts: `launcher` (long actions), `observer` (what instances do), `traffic` + `balancer` (HAProxy), `address`.
"""

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from homeport.engines.local import log as logs
from homeport.engines.local import record, supervision
from homeport.engines.local.address import Addresses
from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.observer import Observer, boot_id
from homeport.engines.local.record import (
    AppRecord,
    EnvironmentRecord,
    InstanceRecord,
    ReleaseRecord,
    TaskRecord,
)
from homeport.engines.local.sandbox import BwrapSandbox
from homeport.engines.local.traffic import environment_traffic, first_host
from homeport.errors import Conflict, HomeportError, NotFound
from homeport.model.event import Event
from homeport.model.fleet import (
    Action,
    Drain,
    Instance,
    Kill,
    Launch,
    Observation,
    Preparation,
    Prepare,
    PutInService,
    Run,
    RunTask,
    SetLaunch,
    SetRoutes,
    Start,
    State,
    Stop,
    Target,
    Terminate,
)
from homeport.model.platform import Group, Place, Resolved
from homeport.model.release import Release
from homeport.plan.balancer import Backend, Balancer, Frontend, backend_name
from homeport.ports.clock import Clock
from homeport.ports.encryption import Encryption
from homeport.ports.engine import GroupSize, LogLine, LogQuery
from homeport.ports.objects import ObjectStore
from homeport.stores import state as states
from homeport.system import process
from homeport.system.effect import effect
from homeport.system.home import Home
from homeport.system.sockets import listening

log = logging.getLogger("homeport.engine")
T = TypeVar("T")
KEPT_ENDED = 20
"""Ended instances that are remembered per group."""
PARALLEL_LAUNCHES = 8


class LocalEngine:
    def __init__(
        self, home: Home, *, store: ObjectStore, encryption: Encryption, clock: Clock, balancer: HaproxyBalancer
    ) -> None:
        self.home = home
        self.clock = clock
        self.state = states.State(home.state)
        self.sandbox = BwrapSandbox()
        self.launcher = Launcher(home, state=self.state, store=store, sandbox=self.sandbox, encryption=encryption)
        self.balancer = balancer
        self.addresses = Addresses(home, clock)
        self._wakes: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(PARALLEL_LAUNCHES, thread_name_prefix="launch")
        self._busy: set[tuple[str, str]] = set()
        """(environment, instance, task or app/release) that a thread of this daemon works on."""
        self._preparation: dict[tuple[str, str], Preparation] = {}
        self._synced: Balancer | None = None
        self.observer = Observer(self.launcher, self.sandbox, clock, on_change=self._changed)
        for kept in self._environments().values():
            self._adopt(kept)
        self.sync()

    def _adopt(self, kept: EnvironmentRecord) -> None:
        """What another daemon left: whatever lives is watched again."""
        environment = kept.place.id
        self._write_hosts(environment)
        for found in self._instances(environment).values():
            current = self.observer.adopted(environment, found)
            if current is not found:
                self._keep(environment, current)
            if current.seen.run is Run.RUNNING and current.seen.state is not State.TERMINATED:
                self._watch(kept, current)
                if current.seen.stop_at is not None:
                    supervision.stop(self.observer.services(environment, current.seen.id))
        for task in self.state.all(record.TASK, environment, TaskRecord).values():
            known = self.observer.adopted_task(environment, task)
            if known is None:
                self.state.remove(record.TASK, environment, task.id)
            else:
                self.state.put(record.TASK, environment, task.id, known)
                self.observer.watch_task(environment, known)

    # --- environments -------------------------------------------------------------------------------------------------

    def open_environment(self, place: Place) -> str:
        with self._lock:
            known = self._environments().get(place.id)
            if known is not None and known.place == place:
                return _url(known)
            listen = place.listen or f"127.0.0.1:{self.addresses.public_port(place.id)}"
            uid = self.addresses.uid(place.id) if os.getuid() == 0 else None
            opened = EnvironmentRecord(place=place, listen=listen, uid=uid, closing=known.closing if known else False)
            self._sync_with({place.id: opened})
            self.state.put(record.ENVIRONMENT, "", place.id, opened, durable=True)
            self._write_hosts(place.id)
            return _url(opened)

    def begin_close(self, environment: str) -> None:
        with self._lock:
            closing = replace(self._environment(environment), closing=True)
            self.state.put(record.ENVIRONMENT, "", environment, closing, durable=True)

    def close_environment(self, environment: str) -> None:
        with self._lock:
            self._environment(environment)
            live = [
                key for key, each in self._instances(environment).items() if each.seen.state is not State.TERMINATED
            ]
            if live:
                raise Conflict(f"{environment} still has {', '.join(live)}")
            self.state.remove(record.ENVIRONMENT, "", environment)
            self.sync()
            self.state.forget(environment)
            remove_tree(self.home.instances / environment)
            self.addresses.release(environment)
            self._preparation = {key: each for key, each in self._preparation.items() if key[0] != environment}

    def environments(self) -> dict[str, tuple[Place, str]]:
        return {id_: (each.place, _url(each)) for id_, each in self._environments().items()}

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(self, environment: str) -> Observation:
        with self._lock:
            kept = self._environment(environment)
            instances = self._instances(environment)
            apps = self.state.all(record.APP, environment, AppRecord)
            draining = any(each.seen.target is Target.DRAINING for each in instances.values())
            in_flight = self._in_flight() if draining else {}
            seen = [self._observed(environment, each, in_flight) for each in instances.values()]
            return Observation(
                at=self.clock.now(),
                instances=tuple(seen),
                tasks=self.observer.tasks(environment, self.state.all(record.TASK, environment, TaskRecord)),
                prepared=self._prepared(environment),
                routes={app: each.routes for app, each in apps.items() if each.routes is not None},
                launch={app: each.launch for app, each in apps.items() if each.launch is not None},
                closing=kept.closing,
                last_ordinal=self.state.all(record.ORDINAL, environment, int),
            )

    def _observed(
        self, environment: str, found: InstanceRecord, in_flight: dict[tuple[str, str], int] | None
    ) -> Instance:
        return self.observer.observe(
            environment,
            found,
            self._group(environment, found.seen),
            in_flight,
            backend=backend_name(environment, found.seen.app, found.seen.group),
            busy=(environment, found.seen.id) in self._busy,
        )

    def _in_flight(self) -> dict[tuple[str, str], int] | None:
        try:
            return self.balancer.in_flight()
        except HomeportError:
            return None

    def _prepared(self, environment: str) -> tuple[Preparation, ...]:
        kept = self.state.all(record.RELEASE, environment, ReleaseRecord)
        ready = [Preparation(app=each.release.app, release=each.release.number, ready=True) for each in kept.values()]
        others = [each for key, each in self._preparation.items() if key[0] == environment and key[1] not in kept]
        return (*ready, *others)

    def release(self, environment: str, app: str, number: int) -> Release | None:
        found = self.state.get(record.RELEASE, environment, f"{app}/{number}", ReleaseRecord)
        return None if found is None else found.release

    # --- executing ----------------------------------------------------------------------------------------------------

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        with self._lock:
            kept = self._environment(environment)
            match action:
                case Prepare() | SetLaunch() | SetRoutes() | RunTask() | Launch():
                    self._admit(environment, action.app, fence)
                    self._for_app(kept, action)
                case _:
                    found = self._instances(environment).get(action.instance)
                    if found is None:
                        raise NotFound(f"instance {action.instance} isn't in {environment}")
                    self._admit(environment, found.seen.app, fence)
                    self._for_instance(kept, found, action)
        self._changed()

    def _admit(self, environment: str, app: str, fence: int) -> None:
        known = self._app(environment, app)
        if fence < known.fence:
            raise Conflict(f"fence {fence} of {app} in {environment} is over: {known.fence} was seen")
        if fence > known.fence:
            self.state.put(record.APP, environment, app, replace(known, fence=fence))

    def _for_app(self, kept: EnvironmentRecord, action: Prepare | SetLaunch | SetRoutes | RunTask | Launch) -> None:
        environment = kept.place.id
        match action:
            case Prepare():
                self._prepare(kept, action.app, action.release)
            case SetLaunch():
                known = self._app(environment, action.app)
                self.state.put(record.APP, environment, action.app, replace(known, launch=action.release), durable=True)
                self.sync()
            case SetRoutes():
                known = self._app(environment, action.app)
                self.state.put(record.APP, environment, action.app, replace(known, routes=action.release), durable=True)
                self.sync()
            case RunTask():
                self._run_task(kept, action)
            case Launch():
                self._launch(kept, action)

    def _for_instance(
        self,
        kept: EnvironmentRecord,
        found: InstanceRecord,
        action: Start | PutInService | Drain | Stop | Kill | Terminate,
    ) -> None:
        environment, seen, now = kept.place.id, found.seen, self.clock.now()
        match action:
            case Start():
                self._start_next(kept, found, action.release)
            case PutInService():
                target = Target.READY if seen.port is not None else Target.UNUSED
                at = seen.in_service_at or now
                changed = replace(seen, state=State.IN_SERVICE, target=target, drain_at=None, in_service_at=at)
                self._keep(environment, replace(found, seen=changed))
                self.sync()
            case Drain():
                self._keep(
                    environment,
                    replace(found, seen=replace(seen, target=Target.DRAINING, drain_at=seen.drain_at or now)),
                )
                self.sync()
            case Stop():
                state = State.TERMINATING if action.next_release is None else seen.state
                changed = replace(
                    seen,
                    state=state,
                    target=Target.UNUSED,
                    next_release=action.next_release,
                    stop_at=seen.stop_at or now,
                )
                self._keep(environment, replace(found, seen=changed))
                self.sync()
                supervision.stop(self.observer.services(environment, seen.id))
            case Kill():
                self._keep(environment, replace(found, seen=replace(seen, killed=True)))
                if seen.pid is not None and found.started is not None:
                    supervision.kill(seen.pid, found.started)
            case Terminate():
                self._terminate(environment, found)

    # --- instances ----------------------------------------------------------------------------------------------------

    def _launch(self, kept: EnvironmentRecord, action: Launch) -> None:
        environment = kept.place.id
        if action.instance in self._instances(environment):
            return
        ordinal = int(action.instance.rpartition("-")[2])
        highest = self.state.get(record.ORDINAL, environment, action.group, int) or 0
        self.state.put(record.ORDINAL, environment, action.group, max(highest, ordinal))
        seen = Instance(
            id=action.instance,
            app=action.app,
            group=action.group,
            zone=action.zone,
            release=action.release,
            generation=0,
            address=self.addresses.instance(f"{environment}/{action.instance}"),
            created_at=self.clock.now(),
        )
        self._begin_generation(kept, InstanceRecord(seen=seen), action.release)

    def _start_next(self, kept: EnvironmentRecord, found: InstanceRecord, release: int) -> None:
        if (kept.place.id, found.seen.id) not in self._busy:
            self.observer.forget(kept.place.id, found.seen)
            self._begin_generation(kept, found, release)

    def _begin_generation(self, kept: EnvironmentRecord, found: InstanceRecord, release: int) -> None:
        """The record first, then the spawn, in a thread of the pool."""
        environment, seen = kept.place.id, found.seen
        known = self.release(environment, seen.app, release)
        if known is None:
            raise NotFound(f"r{release} of {seen.app} isn't prepared in {environment}")
        group = known.resolved.group(seen.group)
        if group is None:
            raise NotFound(f"r{release} of {seen.app} has no group {seen.group}")
        generation = seen.generation + 1
        ports = {name: self.addresses.port(f"{environment}/{seen.id}/{generation}/{name}") for name in group.run}
        serving = "web" if "web" in group.run else group.run[0]
        started = replace(
            seen,
            release=release,
            generation=generation,
            state=State.PENDING,
            run=Run.STARTING,
            next_release=None,
            port=ports[serving] if group.balanced else None,
            pid=None,
            started_at=self.clock.now(),
            drain_at=None,
            stop_at=None,
            killed=False,
            died=False,
            reason="",
        )
        begun = InstanceRecord(seen=started, ports=ports, boot_id=boot_id())
        self._keep(environment, begun)
        self.sync()
        self._work((environment, seen.id), lambda: self._spawn(kept, begun))

    def _spawn(self, kept: EnvironmentRecord, begun: InstanceRecord) -> None:
        environment, id_ = kept.place.id, begun.seen.id
        try:
            pid = self.launcher.start(kept, begun, self.hosts(environment))
        except HomeportError as error:
            reason = error.message
            self._update(environment, id_, lambda seen: replace(seen, run=Run.STOPPED, died=True, reason=reason))
            return
        started = process.start_time(pid)
        with self._lock:
            found = self._instances(environment).get(id_)
            if found is None:
                return
            running = replace(found, seen=replace(found.seen, pid=pid, run=Run.RUNNING), started=started)
            self._keep(environment, running)
            self._watch(kept, running)
        if running.seen.stop_at is not None:
            supervision.stop(self.observer.services(environment, id_))

    def _watch(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        known = self.release(kept.place.id, found.seen.app, found.seen.release)
        host = first_host(known.resolved if known else None, kept.listen)
        self.observer.watch(kept, found, self._group(kept.place.id, found.seen), host)

    def _update(self, environment: str, id_: str, change: Callable[[Instance], Instance]) -> None:
        with self._lock:
            found = self._instances(environment).get(id_)
            if found is not None:
                self._keep(environment, replace(found, seen=change(found.seen)))

    def _terminate(self, environment: str, found: InstanceRecord) -> None:
        if (environment, found.seen.id) in self._busy:
            return
        seen = self._observed(environment, found, {})
        ended = replace(
            seen,
            state=State.TERMINATED,
            run=Run.STOPPED,
            target=Target.UNUSED,
            next_release=None,
            in_flight=None,
            ended_at=seen.ended_at or self.clock.now(),
        )
        self.observer.forget(environment, seen)
        self._keep(environment, replace(found, seen=replace(seen, target=Target.UNUSED)))
        self.sync()
        remove_tree(self.launcher.directory(environment, seen.id))
        self.addresses.release(f"{environment}/{seen.id}")
        self._keep(environment, replace(found, seen=ended))
        self._forget_oldest(environment, seen.app, seen.group)

    def _forget_oldest(self, environment: str, app: str, group: str) -> None:
        ended = sorted(
            (
                each.seen
                for each in self._instances(environment).values()
                if each.seen.app == app and each.seen.group == group and each.seen.ended_at is not None
            ),
            key=lambda each: (each.ended_at, each.id),
        )
        for each in ended[:-KEPT_ENDED]:
            self.state.remove(record.INSTANCE, environment, each.id)

    # --- preparing and tasks ------------------------------------------------------------------------------------------

    def _prepare(self, kept: EnvironmentRecord, app: str, number: int) -> None:
        environment = kept.place.id
        key = (environment, f"{app}/{number}")
        if key in self._busy:
            return
        self._preparation[key] = Preparation(app=app, release=number)

        def work() -> None:
            try:
                self.launcher.prepare(kept, app, number)
            except HomeportError as error:
                said = "; ".join((error.message, *error.details))
                self._preparation[key] = Preparation(app=app, release=number, failed=said)

        self._work(key, work)

    def _run_task(self, kept: EnvironmentRecord, action: RunTask) -> None:
        environment = kept.place.id
        known = self.state.get(record.TASK, environment, action.task, TaskRecord)
        if known is not None:
            return
        begun = TaskRecord(
            id=action.task,
            app=action.app,
            release=action.release,
            command=action.command,
            begun_at=self.clock.now(),
        )
        self.state.put(record.TASK, environment, action.task, begun)

        def work() -> None:
            try:
                pid = self.launcher.start_task(kept, begun, self.hosts(environment))
                running = replace(begun, pid=pid, started=process.start_time(pid))
            except HomeportError as error:
                log.warning("task %s: %s", begun.id, error.message)
                running = replace(begun, exit_code=125)
            self.state.put(record.TASK, environment, action.task, running)
            self.observer.watch_task(environment, running)

        self._work((environment, action.task), work)

    def _work(self, key: tuple[str, str], work: Callable[[], None]) -> None:
        self._busy.add(key)

        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("%s failed", " ".join(key))
            finally:
                self._busy.discard(key)
                self._changed()

        self._pool.submit(run)

    # --- balancer -----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """The balancer equals the records."""
        self._sync_with({})

    def _sync_with(self, changed: dict[str, EnvironmentRecord]) -> None:
        frontends: list[Frontend] = []
        backends: list[Backend] = []
        for id_, kept in (self._environments() | changed).items():
            one, other = environment_traffic(
                kept,
                self.state.all(record.APP, id_, AppRecord),
                self._resolved(id_),
                [each.seen for each in self._instances(id_).values()],
                self._private_addresses(id_),
            )
            frontends += one
            backends += other
        wanted = Balancer(frontends=tuple(frontends), backends=tuple(backends))
        if wanted != self._synced:
            self._synced = None
            self.balancer.sync(wanted)
            self._synced = wanted

    def _resolved(self, environment: str) -> dict[tuple[str, int], Resolved]:
        kept = self.state.all(record.RELEASE, environment, ReleaseRecord)
        return {(each.release.app, each.release.number): each.release.resolved for each in kept.values()}

    def _private_addresses(self, environment: str) -> dict[tuple[str, str], str]:
        balanced = {
            (app, group.name)
            for (app, _), resolved in self._resolved(environment).items()
            for group in resolved.groups
            if group.balanced
        }
        return {
            (app, group): self.addresses.balancer(f"{environment}/{app}/{group}") for app, group in sorted(balanced)
        }

    def hosts(self, environment: str) -> Path:
        return self.home.instances / environment / "hosts"

    def _write_hosts(self, environment: str) -> None:
        name = self._environment(environment).place.name
        lines = ["127.0.0.1 localhost"]
        for (app, group), address in self._private_addresses(environment).items():
            lines.append(f"{address} {group}.{app}.{name}.internal {group}.{name}.internal")
        write_in_place(self.hosts(environment), "\n".join(lines) + "\n")

    # --- the rest -----------------------------------------------------------------------------------------------------

    def sizes(self, environment: str) -> tuple[GroupSize, ...]:
        return tuple(self.state.all(record.SIZE, environment, GroupSize).values())

    def set_size(self, environment: str, size: GroupSize | None, *, app: str, group: str) -> None:
        if size is None:
            self.state.remove(record.SIZE, environment, f"{app}/{group}")
        else:
            self.state.put(record.SIZE, environment, f"{app}/{group}", size, durable=True)

    def record(self, event: Event) -> None:
        self.state.record(event)

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.state.events(environment, after, limit)

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        return read_logs(self.home, environment, query, follow=follow)

    def listening(self, environment: str, instance: str) -> tuple[str, ...]:
        found = self._instances(environment).get(instance)
        if found is None or found.seen.pid is None:
            return ()
        return listening(found.seen.pid)

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        self._wakes.clear()
        self.observer.close()
        self._pool.shutdown(wait=True)
        self.state.close()

    def _group(self, environment: str, seen: Instance) -> Group | None:
        known = self.release(environment, seen.app, seen.release)
        return known.resolved.group(seen.group) if known else None

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()

    def _environments(self) -> dict[str, EnvironmentRecord]:
        return self.state.all(record.ENVIRONMENT, "", EnvironmentRecord)

    def _environment(self, environment: str) -> EnvironmentRecord:
        found = self.state.get(record.ENVIRONMENT, "", environment, EnvironmentRecord)
        if found is None:
            raise NotFound(f"environment {environment!r} isn't open", hint="homeport up")
        return found

    def _app(self, environment: str, app: str) -> AppRecord:
        return self.state.get(record.APP, environment, app, AppRecord) or AppRecord()

    def _instances(self, environment: str) -> dict[str, InstanceRecord]:
        return self.state.all(record.INSTANCE, environment, InstanceRecord)

    def _keep(self, environment: str, kept: InstanceRecord) -> None:
        self.state.put(record.INSTANCE, environment, kept.seen.id, kept)


def read_logs(home: Home, environment: str, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
    """Straight from disk, with or without a daemon."""

    def wanted(instance: str) -> bool:
        return query.group in ("", instance.rpartition("-")[0])

    return logs.read(home.logs / environment, query, follow=follow, wanted=wanted)


def _url(kept: EnvironmentRecord) -> str:
    scheme, standard = ("https", ":443") if kept.place.tls else ("http", ":80")
    address = kept.listen.removesuffix(standard)
    return f"{scheme}://{address.replace('0.0.0.0', 'localhost', 1)}"


@effect("engine.remove_tree")
def remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


@effect("engine.write_hosts")
def write_in_place(path: Path, text: str) -> None:
    """Written over, not replaced: sandboxes have this very file as their /etc/hosts."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("r+" if path.exists() else "w") as file:
        file.write(text)
        file.truncate()
    path.chmod(0o644)
