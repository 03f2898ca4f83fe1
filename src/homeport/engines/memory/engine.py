"""The memory engine: the same port, a virtual clock, faults on demand. For tests and simulation.

Nothing happens by itself: what an instance does follows from the clock and from its release's `Behaviour`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta

from msgspec.structs import replace

from homeport.engines.diskless import Diskless
from homeport.engines.memory import behaviour as behaviours
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.environment import MemoryEnvironment
from homeport.engines.memory.instance import BASE_PORT, OfInstance, changed, launched
from homeport.engines.memory.task import MemoryTask
from homeport.errors import Conflict, Invalid, NotFound, Unavailable
from homeport.model.action import (
    Action,
    EndTask,
    FailOpen,
    HoldBack,
    Inherit,
    Launch,
    Prepare,
    RunTask,
    SetCapacity,
    SetLaunch,
    SetRoutes,
    SetShare,
    Start,
    Terminate,
)
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Answers
from homeport.model.event import Event
from homeport.model.fleet import Check, Instance, Observation, Preparation, Process, Run, State, Target
from homeport.model.platform import Place
from homeport.model.release import Release
from homeport.model.retention import Room
from homeport.model.session import Session
from homeport.plan.canary import tally
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine, LogQuery


class MemoryEngine(Diskless):
    """`releases`: what `Prepare` finds, by (app, environment name, number); the store's part on the other engines."""

    heals = False
    look_again_seconds: float | None = None

    def __init__(
        self,
        clock: Clock,
        releases: Callable[[str, str, int], Release],
        behaviours: Mapping[int, Behaviour] | None = None,
    ) -> None:
        super().__init__(clock)
        self.releases = releases
        self.behaviours: dict[int, Behaviour] = dict(behaviours or {})
        self.places: dict[str, MemoryEnvironment] = {}
        self.kept_events: list[Event] = []
        self.actions: list[Action] = []
        self.blind = False
        """Fault: nothing can be observed."""
        self.unknown: set[str] = set()
        """Fault: instances of which nobody knows what they do."""
        self.own: dict[str, Behaviour] = {}
        """Fault: instances that don't behave as their release does."""
        self.outage_since_at: datetime | None = None
        """Fault: something that every instance needs is gone; all of them answer with 503."""
        self.load_per_second = 0.0
        """Requests to each group with targets."""
        self.kept_ended = 20
        self.memory: int | None = None
        self._ordinals: dict[str, dict[str, int]] = {}

    # --- environments -------------------------------------------------------------------------------------------------

    def open_environment(self, place: Place) -> str:
        port = BASE_PORT + len(self.places)
        known = self.places.get(place.id)
        if known is None:
            known = MemoryEnvironment(place, f"http://{place.listen or f'127.0.0.1:{port}'}")
            known.last_ordinal = self._ordinals.setdefault(place.id, {})
            self.places[place.id] = known
        known.place = place
        return known.url

    def begin_close(self, environment: str) -> None:
        self._find(environment).closing = True

    def close_environment(self, environment: str) -> None:
        found = self._find(environment)
        if live := found.alive():
            raise Conflict(f"{environment} still has {', '.join(live)}")
        del self.places[environment]

    def begin_leave(self, environment: str, app: str) -> None:
        self._find(environment).leave(app)

    def forget_app(self, environment: str, app: str) -> None:
        found = self._find(environment)
        if live := found.alive(app):
            raise Conflict(f"{app} still has {', '.join(live)}")
        found.forget(app)

    def environments(self) -> dict[str, tuple[Place, str]]:
        return {id_: (each.place, each.url) for id_, each in self.places.items()}

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(self, environment: str) -> Observation:
        found = self._find(environment)
        if self.blind:
            raise Unavailable(f"{environment} can't be observed")
        now = self.clock.now()
        return Observation(
            at=now,
            instances=tuple(self._observed(found, each, now) for each in found.instances.values()),
            tasks=tuple(each.seen(id_, now) for id_, each in found.tasks.items()),
            prepared=tuple(found.prepared.values()),
            routes=dict(found.routes),
            launch=dict(found.launch),
            last_ordinal=dict(found.last_ordinal),
            fence=dict(found.fences),
            failed_zones=tuple(sorted(found.asked_zones)),
            fail_open=tuple(sorted(found.fail_open)),
            shares={app: tuple(each.values()) for app, each in found.shares.items() if each},
            closing=found.closing,
            leaving=frozenset(found.leaving),
        )

    def _observed(self, found: MemoryEnvironment, kept: Instance, now: datetime) -> Instance:
        if kept.state is State.TERMINATED:
            return kept
        zone = found.asked_zones.get(kept.zone)
        if kept.id in self.unknown or (zone is not None and zone.failure == "freeze"):
            return replace(kept, run=Run.UNKNOWN, check=Check.UNKNOWN, check_since_at=None)
        behaviour = self.behaviour(found, kept)
        age = (now - (kept.started_at or kept.created_at)).total_seconds()
        run, died = behaviours.run(kept, behaviour, age, now)
        check, since_at = behaviours.check(kept, behaviour, run, age, self.outage_since_at)
        outage = self.outage_since_at is not None
        probe = behaviours.probe(behaviour, now, outage=outage) if check is Check.UNHEALTHY or outage else None
        exits = int(age) if behaviour.crash_loops else 0
        up, last = run is Run.RUNNING, "status 1" if exits else ""
        processes = tuple(Process(name=each, up=up, exits=exits, last_exit=last) for each in self._types(found, kept))
        in_flight = 0 if kept.target is Target.DRAINING else None
        hook = kept.hook
        if hook is not None and behaviour.hook_seconds is not None:
            answers_at = hook.asked_at + timedelta(seconds=behaviour.hook_seconds)
            hook = replace(hook, result=behaviour.hook_result) if now >= answers_at else hook
        return replace(
            kept,
            run=run,
            check=check,
            check_since_at=since_at,
            probe=probe,
            died=died,
            processes=processes,
            in_flight=in_flight,
            hook=hook,
        )

    def _types(self, found: MemoryEnvironment, kept: Instance) -> tuple[str, ...]:
        resolved = self.releases(kept.app, found.place.name, found.started_with[kept.id]).resolved
        group = resolved.group(kept.group)
        return group.run if group is not None else ()

    def behaviour(self, found: MemoryEnvironment, kept: Instance) -> Behaviour:
        return self.own.get(kept.id) or self.behaviours.get(found.started_with[kept.id], Behaviour())

    def next_change_in(self, environment: str) -> float | None:
        """Seconds until something happens by itself; None: nothing does. For whoever moves the clock."""
        found, now = self._find(environment), self.clock.now()
        ahead = [(each.done_at - now).total_seconds() for each in found.tasks.values() if each.done_at is not None]
        for kept in found.instances.values():
            if kept.state is not State.TERMINATED:
                ahead += behaviours.ahead(kept, self.behaviour(found, kept), now)
        return min((each for each in ahead if each > 0), default=None)

    def release(self, environment: str, app: str, number: int) -> Release | None:
        found = self._find(environment)
        if (app, number) not in found.prepared:
            return None
        return self.releases(app, found.place.name, number)

    # --- executing ----------------------------------------------------------------------------------------------------

    def admit(self, environment: str, app: str, *, fence: int) -> None:
        self._find(environment).admit(app, fence)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        found = self._find(environment)
        found.admit(found.app_of(action), fence)
        self.actions.append(action)
        now = self.clock.now()
        match action:
            case Prepare():
                failed = self.behaviours.get(action.release, Behaviour()).prepare_fails
                found.prepared[(action.app, action.release)] = Preparation(
                    app=action.app, release=action.release, ready=not failed, failed=failed
                )
            case SetLaunch():
                found.set_launch(action)
            case SetRoutes():
                found.routes[action.app] = action.release
            case FailOpen():
                found.set_fail_open(action)
            case SetShare():
                found.set_share(action)
            case RunTask() | EndTask():
                self._task(found, action, now)
            case Launch():
                self._launch(found, action, now)
            case SetCapacity() | HoldBack():
                raise Invalid("engine memory keeps no capacity by itself")
            case _:
                self._for_instance(found, action, now)
        self._changed()

    def _for_instance(self, found: MemoryEnvironment, action: OfInstance, now: datetime) -> None:
        kept = found.instances.get(action.instance)
        if kept is None:
            raise NotFound(f"instance {action.instance} isn't in {found.place.id}")
        if isinstance(action, Inherit) and (kept.app, action.release) not in found.prepared:
            raise NotFound(f"r{action.release} of {kept.app} isn't prepared in {found.place.id}")
        found.instances[kept.id] = changed(self._observed(found, kept, now), action, now)
        if isinstance(action, Start):
            found.started_with[kept.id] = action.release
        if isinstance(action, Terminate):
            self._forget_oldest(found, kept)

    def _task(self, found: MemoryEnvironment, action: RunTask | EndTask, now: datetime) -> None:
        known = found.tasks.get(action.task)
        if isinstance(action, EndTask):
            if known is not None:
                known.end(now, by_force=action.by_force)
        elif known is None:
            behaviour = self.behaviours.get(action.release, Behaviour())
            seconds = behaviour.task_seconds
            alarm = "-alarm-" in action.task
            found.tasks[action.task] = MemoryTask(
                app=action.app,
                done_at=None if seconds is None else now + timedelta(seconds=seconds),
                exit_code=behaviour.alarm_exit_code if alarm else behaviour.task_exit_code,
                deaf=behaviour.stops_after is None,
            )

    def _forget_oldest(self, found: MemoryEnvironment, last: Instance) -> None:
        ended = sorted(
            (each.ended_at, each.id)
            for each in found.instances.values()
            if (each.app, each.group) == (last.app, last.group) and each.ended_at is not None
        )
        for _, id_ in ended[: -self.kept_ended]:
            del found.instances[id_]
            del found.started_with[id_]
            self.own.pop(id_, None)

    def _launch(self, found: MemoryEnvironment, action: Launch, now: datetime) -> None:
        if action.instance in found.instances:
            return
        if action.zone in found.asked_zones:
            raise Unavailable(f"zone {action.zone} of {found.place.id} has failed on purpose")
        ordinal = int(action.instance.rpartition("-")[2])
        group = self.releases(action.app, found.place.name, action.release).resolved.group(action.group)
        balanced = group is not None and group.balanced
        found.started_with[action.instance] = action.release
        found.last_ordinal[action.group] = max(ordinal, found.last_ordinal.get(action.group, 0))
        found.instances[action.instance] = launched(action, now, balanced=balanced)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def die(self, environment: str, instance: str) -> None:
        """Fault: the instance's tree is gone."""
        found = self._find(environment)
        found.instances[instance] = replace(found.instances[instance], run=Run.STOPPED, died=True)
        self._changed()

    def sessions(self, environment: str) -> tuple[Session, ...]:
        return tuple(self._find(environment).sessions.values())

    def end_session(self, environment: str, session: str, *, by_force: bool) -> None:
        sessions, now = self._find(environment).sessions, self.clock.now()
        if session not in sessions or sessions[session].ended_at is not None:
            return
        known = sessions[session]
        told = replace(known, stop_at=known.stop_at or now)
        sessions[session] = replace(told, ended_at=now) if by_force else told
        self._changed()

    def answers(
        self, environment: str, app: str, group: str, *, since_at: datetime, until_at: datetime
    ) -> dict[int, Answers]:
        """As `load_per_second` says, shared as it is now."""
        found = self._find(environment)
        requests = self.load_per_second * (until_at - since_at).total_seconds()
        targets = [
            each.release
            for each in found.instances.values()
            if (each.app, each.group, each.target) == (app, group, Target.READY)
        ]
        share = found.shares.get(app, {}).get(group)
        answers = {}
        for release in sorted(set(targets)):
            part = targets.count(release) / len(targets)
            if share is not None:
                part = share.percent / 100 if share.release == release else 1 - share.percent / 100
            behaviour = self.behaviours.get(release, Behaviour())
            count = round(part * requests)
            failed = round(count * behaviour.error_share)
            answers[release] = tally((number < failed, behaviour.response_ms) for number in range(count))
        return answers

    def asked(self, environment: str) -> Asked:
        return self._find(environment).asked

    def file(self, environment: str, app: str, release: int, path: str) -> bytes | None:
        if (app, release) not in self._find(environment).prepared:
            raise NotFound(f"r{release} of {app} wasn't prepared in {environment}")
        return f"{path} of r{release}".encode()

    def ask(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        self._find(environment).ask(said)
        self._changed()

    def record(self, event: Event) -> None:
        self.kept_events.append(replace(event, number=len(self.kept_events) + 1))

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        return [each for each in self.kept_events if each.environment == environment and each.number > after][:limit]

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        return iter(())

    def room(self) -> Room:
        return Room(free_bytes=10**12, total_bytes=10**12)

    def memory_bytes(self) -> int | None:
        return self.memory

    def _find(self, environment: str) -> MemoryEnvironment:
        if environment not in self.places:
            raise NotFound(f"environment {environment!r} isn't open")
        return self.places[environment]
