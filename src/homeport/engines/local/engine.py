"""The local engine: one Linux machine. Implements `ports.engine.Engine`; observes, executes single actions, decides
nothing. Its parts: `generation` (instances), `task` (releases and one-off processes), `traffic` (HAProxy), `observer`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from msgspec.structs import replace

from homeport.engines.local import access, reserve
from homeport.engines.local.app import Apps
from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.environment import Environments, url
from homeport.engines.local.generation import Generations
from homeport.engines.local.launcher import Launcher
from homeport.engines.local.log import read_logs
from homeport.engines.local.observer import Observer
from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records
from homeport.engines.local.remains import Remains
from homeport.engines.local.removal import Remover
from homeport.engines.local.session_watch import SessionWatch
from homeport.engines.local.task import Tasks
from homeport.engines.local.traffic import Traffic, server_name
from homeport.engines.local.work import Work
from homeport.engines.local.zone import Zones
from homeport.errors import HomeportError, Invalid, NotFound
from homeport.instance.address import Addresses
from homeport.instance.sandbox import BwrapSandbox
from homeport.model.action import (
    Action,
    AskHook,
    Drain,
    EndTask,
    EnterStandby,
    FailOpen,
    HoldBack,
    Inherit,
    Kill,
    Launch,
    Prepare,
    PutInService,
    RunTask,
    SetCapacity,
    SetLaunch,
    SetRoutes,
    SetShare,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Answers
from homeport.model.certificate import Certificate
from homeport.model.event import Event
from homeport.model.fleet import Observation, Target
from homeport.model.platform import Place
from homeport.model.release import Release
from homeport.model.retention import Remain, Room, Usage
from homeport.model.session import Session
from homeport.plan.balancer import backend_name, public_name
from homeport.ports.clock import Clock
from homeport.ports.encryption import Encryption
from homeport.ports.engine import LogLine, LogQuery, Needed
from homeport.ports.objects import ObjectStore
from homeport.stores import state as states
from homeport.system import memory
from homeport.system.disk import room
from homeport.system.home import Home
from homeport.system.sockets import listening

log = logging.getLogger("homeport.engine")


class LocalEngine:
    heals = False
    look_again_seconds: float | None = None

    def __init__(
        self, home: Home, *, store: ObjectStore, encryption: Encryption, clock: Clock, balancer: HaproxyBalancer
    ) -> None:
        self.home = home
        self.clock = clock
        reserve.give_up(home)
        self.state = states.State(home.state)
        self.state.reserve()
        reserve.keep(home)
        self.records = Records(self.state)
        self._wakes: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        sandbox = BwrapSandbox()
        launcher = Launcher(home, records=self.records, store=store, sandbox=sandbox, encryption=encryption)
        self.addresses = Addresses(home, clock)
        self.work = Work(self._changed)
        self.remover = Remover()
        self.zones = Zones(self.records)
        self.observer = Observer(launcher, sandbox, clock, on_change=self._changed)
        self.traffic = Traffic(home, self.records, self.addresses, balancer)
        self.tasks = Tasks(
            self.records,
            launcher=launcher,
            observer=self.observer,
            traffic=self.traffic,
            work=self.work,
            clock=clock,
            lock=self._lock,
        )
        self.generations = Generations(
            self.records,
            launcher=launcher,
            observer=self.observer,
            traffic=self.traffic,
            addresses=self.addresses,
            work=self.work,
            remover=self.remover,
            zones=self.zones,
            clock=clock,
            lock=self._lock,
        )
        self.watched = SessionWatch(
            self.records,
            launcher=launcher,
            sandbox=sandbox,
            deaths=self.observer.deaths,
            work=self.work,
            clock=clock,
            lock=self._lock,
        )
        self.apps = Apps(self.records, self.traffic)
        self.places = Environments(
            home,
            self.records,
            addresses=self.addresses,
            traffic=self.traffic,
            tasks=self.tasks,
            watched=self.watched,
            zones=self.zones,
            remover=self.remover,
            clock=clock,
        )
        self.cleaning = Remains(home, store, self.records, tasks=self.tasks, clock=clock, lock=self._lock)
        launcher.sweep()
        self.remover.resume(self.cleaning.directories())
        for kept in self.records.environments().values():
            self.traffic.write_hosts(kept.place.id)
            self.generations.adopt(kept)
            self.tasks.adopt(kept)
            self.watched.all(kept.place.id)
        self.addresses.keep_only(self.places.is_claimed)
        try:
            self.traffic.sync()
        except HomeportError as error:
            log.warning("%s %s: tried again", error.message, " ".join(error.details))

    # --- environments -------------------------------------------------------------------------------------------------

    def open_environment(self, place: Place) -> str:
        with self._lock:
            return self.places.open(place)

    def begin_close(self, environment: str) -> None:
        with self._lock:
            self.records.keep_environment(replace(self.records.environment(environment), closing=True))

    def close_environment(self, environment: str) -> None:
        with self._lock:
            self.places.close(environment)

    def begin_leave(self, environment: str, app: str) -> None:
        with self._lock:
            self.places.begin_leave(environment, app)

    def forget_app(self, environment: str, app: str) -> None:
        with self._lock:
            self.places.forget_app(environment, app)

    def environments(self) -> dict[str, tuple[Place, str]]:
        return {id_: (each.place, url(each)) for id_, each in self.records.environments().items()}

    def certificate(self, environment: str) -> Certificate | None:
        return self.traffic.balancer.certificate(public_name(environment))

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(self, environment: str) -> Observation:
        with self._lock:
            kept = self.records.environment(environment)
            instances = self.records.instances(environment)
            apps = self.records.apps(environment)
            self.watched.all(environment)
            draining = any(each.seen.target is Target.DRAINING for each in instances.values())
            in_flight = self.traffic.in_flight() if draining else {}
            return Observation(
                at=self.clock.now(),
                instances=tuple(self.generations.observe(environment, each, in_flight) for each in instances.values()),
                tasks=self.observer.tasks(environment, self.records.tasks(environment)),
                prepared=self.tasks.prepared(environment),
                routes={app: each.routes for app, each in apps.items() if each.routes is not None and not each.leaving},
                launch={app: each.launch for app, each in apps.items() if each.launch is not None},
                closing=kept.closing,
                leaving=frozenset(app for app, each in apps.items() if each.leaving),
                last_ordinal=self.records.ordinals(environment),
                fence={app: each.fence for app, each in apps.items()},
                failed_zones=self.zones.failed(environment),
                fail_open=tuple((app, group) for app, each in apps.items() for group in each.fail_open),
                shares={app: each.shares for app, each in apps.items() if each.shares},
            )

    def release(self, environment: str, app: str, number: int) -> Release | None:
        return self.records.release(environment, app, number)

    def file(self, environment: str, app: str, release: int, path: str) -> bytes | None:
        return self.tasks.launcher.file(environment, app, release, path)

    # --- executing ----------------------------------------------------------------------------------------------------

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        with self._lock:
            kept = self.records.environment(environment)
            match action:
                case SetCapacity() | HoldBack():
                    raise Invalid("engine local keeps no capacity by itself")
                case Prepare() | SetLaunch() | SetRoutes() | SetShare() | FailOpen() | RunTask() | EndTask() | Launch():
                    self.apps.admit(environment, action.app, fence)
                    self._for_app(kept, action)
                case _:
                    found = self.records.instance(environment, action.instance)
                    if found is None:
                        raise NotFound(f"instance {action.instance} isn't in {environment}")
                    self.apps.admit(environment, found.seen.app, fence)
                    self._for_instance(kept, found, action)
        self._changed()

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._lock:
            self.traffic.hold()
        try:
            yield
        finally:
            with self._lock:
                self.traffic.let_go()

    def admit(self, environment: str, app: str, *, fence: int) -> None:
        with self._lock:
            self.apps.admit(environment, app, fence)

    def _for_app(
        self,
        kept: EnvironmentRecord,
        action: Prepare | SetLaunch | SetRoutes | SetShare | FailOpen | RunTask | EndTask | Launch,
    ) -> None:
        environment = kept.place.id
        match action:
            case Prepare():
                self.tasks.prepare(kept, action.app, action.release)
            case SetLaunch():
                self.apps.set_launch(environment, action)
            case SetRoutes():
                self.apps.set_routes(environment, action)
            case SetShare():
                self.apps.set_share(environment, action)
            case FailOpen():
                self.apps.set_fail_open(environment, action)
            case RunTask():
                self.tasks.run(kept, action)
            case EndTask():
                self.tasks.end(environment, action)
            case Launch():
                self.generations.launch(kept, action)

    def _for_instance(
        self,
        kept: EnvironmentRecord,
        found: InstanceRecord,
        action: Start | Inherit | AskHook | PutInService | EnterStandby | Drain | Stop | Kill | Terminate,
    ) -> None:
        match action:
            case Start():
                self.generations.start_next(kept, found, action.release)
            case Inherit():
                self.generations.inherit(kept, found, action.release)
            case AskHook():
                self.generations.ask_hook(kept, found, action)
            case PutInService():
                self.generations.put_in_service(kept, found)
            case EnterStandby():
                self.generations.enter_standby(kept, found)
            case Drain():
                self.generations.drain(kept, found, at_once=action.at_once)
            case Stop():
                self.generations.stop(kept, found, action.next_release)
            case Kill():
                self.generations.kill(kept, found)
            case Terminate():
                self.generations.terminate(kept, found)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def answers(
        self, environment: str, app: str, group: str, *, since_at: datetime, until_at: datetime
    ) -> dict[int, Answers]:
        return access.answers(
            self.home, backend_name(environment, app, group), self._releases(environment), since_at, until_at
        )

    def _releases(self, environment: str) -> dict[str, int]:
        """Name of a target → its release."""
        with self._lock:
            found = [each.seen for each in self.records.instances(environment).values()]
        return {server_name(each): each.release for each in found}

    def asked(self, environment: str) -> Asked:
        return self.records.asked(environment)

    def ask(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        with self._lock:
            self.records.environment(environment)
            match said:
                case ZoneAsked():
                    self.zones.ask(environment, said)
                case MaintenanceAsked():
                    self.apps.maintain(environment, said)
                case GroupAsked():
                    self.records.keep_asked(environment, said)
        self._changed()

    def record(self, event: Event) -> None:
        self.state.record(event)

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.state.events(environment, after, limit)

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        return read_logs(self.home, environment, query, follow=follow)

    def remains(self, needed: Needed) -> list[Remain]:
        return self.cleaning.all(needed)

    def remove(self, remain: Remain, needed: Needed) -> bool:
        return self.cleaning.remove(remain, needed)

    def usage(self) -> Usage:
        return self.cleaning.usage()

    def room(self) -> Room:
        return room(self.home.root)

    def memory_bytes(self) -> int | None:
        return memory.total_bytes()

    def make_room(self) -> bool:
        return reserve.give_up(self.home)

    def compact(self) -> None:
        self.state.compact()
        reserve.keep(self.home)

    def sessions(self, environment: str) -> tuple[Session, ...]:
        with self._lock:
            return self.watched.all(environment)

    def end_session(self, environment: str, session: str, *, by_force: bool) -> None:
        with self._lock:
            self.watched.end(environment, session, by_force=by_force)

    def history(self, environment: str) -> tuple[Event, ...]:
        return ()

    def listening(self, environment: str, instance: str) -> tuple[str, ...]:
        found = self.records.instance(environment, instance)
        if found is None or found.seen.pid is None:
            return ()
        return listening(found.seen.pid)

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def refresh(self) -> None:
        """The balancer equals the records again, whatever happened to it; renewed certificates are loaded."""
        with self._lock:
            self.traffic.sync(again=True)

    def note_checks(self) -> None:
        """Which targets HAProxy finds down is kept for a HAProxy that is started after a crash."""
        self.traffic.balancer.server_checks()

    def note_sessions(self) -> None:
        """A new one is watched, and whoever waits for events hears of it: it sends no event of its own."""
        with self._lock:
            known = self.watched.watched
            for environment in self.records.environments():
                self.watched.all(environment)
            if self.watched.watched != known:
                self._changed()

    def close(self) -> None:
        self._wakes.clear()
        self.work.close()
        self.remover.close()
        self.observer.close()
        self.state.close()

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()
