"""The life of the local engine's instances: begun, watched, ended, adopted from a daemon that is gone.

Called by `engine`, under its lock. The record is always written before the thing is made or ended."""

import contextlib
import threading
from datetime import datetime, timedelta

from msgspec.structs import replace

from homeport.engines.local.hook import Hooks
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.observer import Observer
from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records
from homeport.engines.local.removal import Remover
from homeport.engines.local.traffic import Traffic
from homeport.engines.local.work import Work
from homeport.engines.local.zone import Zones
from homeport.errors import HomeportError, NotFound
from homeport.instance import supervision
from homeport.instance.address import Addresses
from homeport.model.action import AskHook, Launch
from homeport.model.fleet import HookWait, Instance, Run, State, Target
from homeport.model.platform import Group
from homeport.plan.member import served
from homeport.plan.route import first_host
from homeport.ports.clock import Clock
from homeport.system import process
from homeport.system.disk import is_full

AGAIN_SECONDS = 0.05
KEPT_ENDED, MOST_ENDED = 20, 200
"""Ended instances that are remembered per group: so many, and of the recent ones more, for a breaker counts them."""
RECENT = timedelta(hours=1)


class Generations:
    def __init__(
        self,
        records: Records,
        *,
        launcher: Launcher,
        observer: Observer,
        traffic: Traffic,
        addresses: Addresses,
        work: Work,
        remover: Remover,
        zones: Zones,
        clock: Clock,
        lock: threading.RLock,
    ) -> None:
        self.records = records
        self.launcher = launcher
        self.observer = observer
        self.traffic = traffic
        self.addresses = addresses
        self.work = work
        self.remover = remover
        self.zones = zones
        self.hooks = Hooks(records, launcher, observer)
        self.clock = clock
        self.lock = lock
        self._told: dict[tuple[str, str], set[str]] = {}
        """(environment, instance) that stops → processes whose supervisors have heard it."""

    def adopt(self, kept: EnvironmentRecord) -> None:
        """What another daemon left: whatever lives is watched again, what was told to stop is told once more."""
        environment = kept.place.id
        for found in self.records.instances(environment).values():
            current = self.observer.adopted(environment, found)
            if current is not found:
                self.records.keep_instance(environment, current)
            if current.seen.run is Run.RUNNING and current.seen.state is not State.TERMINATED:
                self._watch(kept, current)
                if current.seen.stop_at is not None:
                    self._tell_to_stop(environment, current.seen)
                self.zones.apply(environment, current)
                with contextlib.suppress(HomeportError):  # then what it says without an answer holds
                    self.hooks.ask(kept, current)

    def launch(self, kept: EnvironmentRecord, action: Launch) -> None:
        environment = kept.place.id
        if self.records.instance(environment, action.instance) is not None:
            return
        self.zones.check_launch(environment, action.zone)
        self.records.use_ordinal(environment, action.group, int(action.instance.rpartition("-")[2]))
        seen = Instance(
            id=action.instance,
            app=action.app,
            group=action.group,
            zone=action.zone,
            release=action.release,
            generation=0,
            address="",
            created_at=self.clock.now(),
        )
        self._begin(kept, InstanceRecord(seen=seen), action.release)

    def start_next(self, kept: EnvironmentRecord, found: InstanceRecord, release: int) -> None:
        if not self.work.goes_on((kept.place.id, found.seen.id)):
            self.observer.forget(kept.place.id, found.seen)
            self.addresses.release(f"{kept.place.id}/{found.seen.id}/{found.seen.generation}")
            self._begin(kept, found, release)

    def inherit(self, kept: EnvironmentRecord, found: InstanceRecord, release: int) -> None:
        """Of the release from now on; how it is asked for its health, too."""
        self._group(kept, found.seen, release)
        self._change(kept, found, release=release)
        self._watch(kept, replace(found, seen=replace(found.seen, release=release)))

    def put_in_service(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        target = Target.READY if found.seen.port is not None else Target.UNUSED
        at = found.seen.in_service_at if served(found.seen) else self.clock.now()
        self._change(kept, found, state=State.IN_SERVICE, target=target, drain_at=None, in_service_at=at, hook=None)

    def ask_hook(self, kept: EnvironmentRecord, found: InstanceRecord, action: AskHook) -> None:
        """Its state waits, and the hook is asked."""
        state = State.TERMINATING_WAIT if action.terminating else State.PENDING_WAIT
        if found.seen.state is not state:
            now = self.clock.now()
            wait = HookWait(hook=action.hook, asked_at=now, beat_at=now)
            self._change(kept, found, state=state, hook=wait)
            self.hooks.ask(kept, replace(found, seen=replace(found.seen, state=state, hook=wait)))

    def enter_standby(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        self._change(kept, found, state=State.STANDBY, target=Target.UNUSED, drain_at=None)

    def drain(self, kept: EnvironmentRecord, found: InstanceRecord, *, at_once: bool) -> None:
        if at_once:
            self.traffic.cut(kept.place.id, found.seen)
        self._change(kept, found, target=Target.DRAINING, drain_at=found.seen.drain_at or self.clock.now())

    def stop(self, kept: EnvironmentRecord, found: InstanceRecord, next_release: int | None) -> None:
        seen = found.seen
        self._change(
            kept,
            found,
            state=State.TERMINATING if next_release is None else seen.state,
            target=Target.UNUSED,
            next_release=next_release,
            stop_at=seen.stop_at or self.clock.now(),
        )
        self._tell_to_stop(kept.place.id, seen)

    def kill(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        # The other way round, a daemon that died in between would have it recorded and not done.
        if found.seen.pid is not None and found.started is not None:
            supervision.kill(found.seen.pid, found.started)
        self._change(kept, found, killed=True)

    def terminate(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        environment, id_ = kept.place.id, found.seen.id
        if self.work.goes_on((environment, id_)) or found.seen.state is State.TERMINATED:
            return
        seen = self.observe(environment, found, {})
        self.observer.forget(environment, seen)
        self._told.pop((environment, id_), None)
        self._change(kept, found, target=Target.UNUSED)
        self.remover.begin(self.launcher.directory(environment, id_))
        self.addresses.release(f"{environment}/{id_}")
        ended = replace(
            seen,
            state=State.TERMINATED,
            run=Run.STOPPED,
            target=Target.UNUSED,
            next_release=None,
            in_flight=None,
            ended_at=seen.ended_at or self.clock.now(),
        )
        self.records.keep_instance(environment, replace(found, seen=ended))
        self._forget_oldest(environment, seen)

    def observe(
        self, environment: str, found: InstanceRecord, in_flight: dict[tuple[str, str], int] | None
    ) -> Instance:
        """The instance as it is now. One that stops is told so until all its supervisors have heard it."""
        if found.seen.state is State.TERMINATED:
            return found.seen
        seen = self.observer.observe(
            environment,
            found,
            self.records.group(environment, found.seen),
            in_flight,
            busy=self.work.goes_on((environment, found.seen.id)),
        )
        if seen.run is Run.STOPPING:
            self._tell_to_stop(environment, seen)
        return self.zones.seen(environment, self.hooks.seen(environment, seen))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _tell_to_stop(self, environment: str, seen: Instance) -> None:
        """A supervisor that has only just begun doesn't listen yet, and is told later."""
        told = self._told.setdefault((environment, seen.id), set())
        if not supervision.stop(self.observer.services(environment, seen.id), told):
            self.observer.look_in(f"stop {environment} {seen.id}", AGAIN_SECONDS)

    def _change(self, kept: EnvironmentRecord, found: InstanceRecord, **fields: object) -> None:
        changed = replace(found, seen=replace(found.seen, **fields))
        self.records.keep_instance(kept.place.id, changed)
        self.traffic.sync_soon()

    def _begin(self, kept: EnvironmentRecord, found: InstanceRecord, release: int) -> None:
        """The next generation: its record first, then the spawn, in a thread."""
        environment, seen = kept.place.id, found.seen
        group = self._group(kept, seen, release)
        generation = seen.generation + 1
        address, ports = self.addresses.generation(f"{environment}/{seen.id}", generation, group.run)
        started = replace(
            seen,
            release=release,
            generation=generation,
            state=State.PENDING,
            run=Run.STARTING,
            target=Target.UNUSED,
            next_release=None,
            address=address,
            port=None if group.serving is None else ports[group.serving],
            pid=None,
            started_at=self.clock.now(),
            drain_at=None,
            stop_at=None,
            killed=False,
            died=False,
            hook=None,
            disk_full=False,
            zone_failed=False,
            reason="",
        )
        self._told.pop((environment, seen.id), None)
        begun = InstanceRecord(seen=started, ports=ports, boot_id=process.boot_id())
        self.records.keep_instance(environment, begun)
        # The balancer learns of it while it boots.
        self.work.begin((environment, seen.id), lambda: self._spawn(kept, begun))
        self.traffic.sync_soon()

    def _group(self, kept: EnvironmentRecord, seen: Instance, release: int) -> Group:
        """The instance's group, as that release has it. Raises `NotFound` where it isn't prepared."""
        group = self.records.group(kept.place.id, replace(seen, release=release))
        if group is None:
            raise NotFound(f"r{release} of {seen.app} with a group {seen.group} isn't prepared in {kept.place.id}")
        return group

    def _spawn(self, kept: EnvironmentRecord, begun: InstanceRecord) -> None:
        environment, id_ = kept.place.id, begun.seen.id
        try:
            pid = self.launcher.start(kept, begun, self.traffic.hosts(environment))
        except HomeportError as error:
            with self.lock:
                full = is_full(self.launcher.home.root)
                failed = replace(begun.seen, run=Run.STOPPED, died=True, disk_full=full, reason=error.message)
                self.records.keep_instance(environment, replace(begun, seen=failed))
            return
        started = process.start_time(pid)
        with self.lock:
            found = self.records.instance(environment, id_) or begun
            now_runs = replace(found.seen, pid=pid, run=Run.RUNNING, started_at=self.clock.now())
            running = replace(found, seen=now_runs, started=started)
            self.records.keep_instance(environment, running)
            self._watch(kept, running)
            if running.seen.stop_at is not None:
                self._tell_to_stop(environment, running.seen)
            self.zones.apply(environment, running)

    def _watch(self, kept: EnvironmentRecord, found: InstanceRecord) -> None:
        known = self.records.release(kept.place.id, found.seen.app, found.seen.release)
        host = first_host(known.resolved if known else None, kept.listen)
        self.observer.watch(kept, found, self.records.group(kept.place.id, found.seen), host)

    def _forget_oldest(self, environment: str, seen: Instance) -> None:
        ended: list[tuple[datetime, str]] = sorted(
            (each.seen.ended_at, each.seen.id)
            for each in self.records.instances(environment).values()
            if (each.seen.app, each.seen.group) == (seen.app, seen.group) and each.seen.ended_at is not None
        )
        recent_at = self.clock.now() - RECENT
        for at, id_ in ended[:-KEPT_ENDED]:
            if at < recent_at or (at, id_) in ended[:-MOST_ENDED]:
                self.records.forget_instance(environment, id_)
