"""AWS as an engine: Auto Scaling groups heal, load balancers balance, Systems Manager deploys in place. Wired for the
length of one command; implements `ports.engine.Engine`.

What AWS doesn't remember by itself is in the object store (`kept`). It decides nothing: `plan.pool` does.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from homeport.engines.aws import answer, hold, one_off
from homeport.engines.aws.activity import events as told_by
from homeport.engines.aws.command import Commands
from homeport.engines.aws.diary import Diary
from homeport.engines.aws.fleet import Fleet, Pool
from homeport.engines.aws.kept import Kept, Memory, leaving, without
from homeport.engines.aws.left import Left, refused
from homeport.engines.aws.log import Logs
from homeport.engines.aws.maintenance import Closures
from homeport.engines.aws.one_off import OneOffs
from homeport.engines.aws.orders import Orders
from homeport.engines.aws.seen import Seen
from homeport.engines.aws.turn import Hear, Turns
from homeport.engines.diskless import Diskless
from homeport.errors import Conflict, Invalid, NotAllowed, NotFound, NotUp, Unavailable
from homeport.instance.release import unpacked
from homeport.model.action import (
    Action,
    Drain,
    EndTask,
    EnterStandby,
    HoldBack,
    Inherit,
    Prepare,
    PutInService,
    RunTask,
    SetCapacity,
    SetLaunch,
    SetRoutes,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Answers
from homeport.model.event import Event
from homeport.model.fleet import Observation, Preparation
from homeport.model.platform import Place, Resolved
from homeport.model.release import Release
from homeport.model.session import Session
from homeport.plan.aws_route import maintenance_rules
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine, LogQuery
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue

LOOK_AGAIN_SECONDS = 1.0


class AwsEngine(Diskless):
    """Of one environment. `url`: asks where its public side is, once its stacks stand; `listener`: the ARN of its
    balancer's listener; `memory`: what is kept of it, where somebody has begun to read that; `hear`: as of `Turns`."""

    heals, look_again_seconds = True, LOOK_AGAIN_SECONDS

    def __init__(
        self,
        place: Place,
        *,
        client: Callable[[str], Any],
        store: ObjectStore,
        clock: Clock,
        url: Callable[[], str],
        listener: Callable[[], str] | None = None,
        memory: Memory | None = None,
        hear: Hear | None = None,
    ) -> None:
        super().__init__(clock)
        self.place = place
        self.store = store
        self.catalogue = Catalogue(store)
        self.fleet = Fleet(client, place)
        self.seen = Seen(self.fleet, place.id, clock)
        self.commands = Commands(client)
        self.turns = Turns(
            self.commands,
            clock,
            members=lambda: self.seen.members,
            change=lambda changed: self._change(place.id, changed),
            hear=hear,
        )
        self.closures = Closures(client, place.platform, listener or url)
        self.memory = memory or Memory(store, place.id, clock)
        self.diary = Diary(store, place.id, clock)
        self.orders = Orders(
            place, fleet=self.fleet, commands=self.commands, clock=clock, turns=self.turns, told=self.seen.forget
        )
        self.one_offs = OneOffs(
            client, place, store=store, clock=clock, change=lambda changed: self._change(place.id, changed)
        )
        self._left = Left(place, store=store, catalogue=self.catalogue)
        self._logs = Logs(self.fleet, commands=self.commands, clock=clock, left=self._left, one_offs=self.one_offs)
        self._url = url
        self._events: list[Event] | None = None
        """Those that `together` gathers."""

    # --- environments -------------------------------------------------------------------------------------------------

    def open_environment(self, place: Place) -> str:
        self._check(place.id)
        url = self._url()

        def opened(known: Kept | None) -> Kept:
            return Kept(place=place, url=url) if known is None else replace(known, place=place, url=url)

        return self.memory.change(opened).url

    def begin_close(self, environment: str) -> None:
        self._change(environment, lambda kept: replace(kept, closing=True))

    def close_environment(self, environment: str) -> None:
        self._kept(environment)
        if any(each.members for each in self.seen.anew()):
            raise Conflict(f"{environment} still has instances")
        self.memory.forget()
        self.diary.forget()

    def begin_leave(self, environment: str, app: str) -> None:
        self._change(environment, lambda kept: leaving(kept, app))

    def forget_app(self, environment: str, app: str) -> None:
        if any(each.members for each in self.seen.anew() if each.app == app):
            raise Conflict(f"{app} still has instances")

        self._change(environment, lambda kept: without(kept, app))

    def environments(self) -> dict[str, tuple[Place, str]]:
        kept = self.memory.read(anew=True)
        return {} if kept is None else {kept.place.id: (kept.place, kept.url)}

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(self, environment: str) -> Observation:
        kept, pools = self._look(environment)
        now = self.clock.now()
        pulls = [(each, self._pulled(each, kept)) for each in pools]
        living = [
            answer.instance(pool, each, kept, now, pulled=pulled, stop_at=self.orders.stopped.get(each.id))
            for pool, pulled in pulls
            for each in pool.members
        ]
        ended = tuple(self._left.ended(kept, pools, now))
        known = {each.id for each in (*living, *ended)}
        missing = [each for pool in pools for each in answer.gone(pool, partial(self._pulled_since, pool), known, now)]
        return Observation(
            at=now,
            instances=(
                *living,
                *missing,
                *refused(living, kept, now),
                *ended,
            ),
            tasks=one_off.observed(kept),
            prepared=tuple(
                Preparation(app=app, release=number, ready=True)
                for app, numbers in kept.prepared.items()
                for number in numbers
            ),
            routes=dict(kept.routes),
            launch=dict(kept.launch),
            closing=kept.closing,
            leaving=frozenset(kept.leaving),
            fence=dict(kept.fences),
            capacity=tuple(hold.capacity(each, kept) for each in pools),
        )

    def _look(self, environment: str) -> tuple[Kept, tuple[Pool, ...]]:
        """AWS isn't asked again where it has been just now, and nothing was changed since."""
        self._check(environment)
        kept = _up(environment, self.memory.read(anew=True))
        pools = self.seen.just_now()
        if pools is not None:
            return kept, pools
        return self._followed(kept), self.seen.anew()

    def _followed(self, kept: Kept) -> Kept:
        """With what became of what went on. Who may only look sees what others have kept of it."""
        try:
            return self.one_offs.followed(self.turns.followed(kept))
        except NotAllowed:
            return kept

    def _pulled(self, pool: Pool, kept: Kept) -> int:
        """What a new instance of the group comes upon in the store; 0 where nobody needs to know."""
        if all(answer.told(each) is not None for each in pool.members):
            return 0
        pointed = self.catalogue.launch(pool.app, self.place.name, pool.group)
        return pointed if pointed is not None else kept.launch.get(pool.app, 0)

    def _pulled_since(self, pool: Pool) -> tuple[int, datetime] | None:
        """What new instances get, and since when; None: nothing."""
        return self.catalogue.launch_since(pool.app, self.place.name, pool.group)

    def release(self, environment: str, app: str, number: int) -> Release | None:
        kept = self._kept(environment)
        if number not in kept.prepared.get(app, ()):
            return None
        return self.catalogue.get(app, kept.place.name, number)

    def file(self, environment: str, app: str, release: int, path: str) -> bytes | None:
        """Its code is fetched for that."""
        layers = self.catalogue.get(app, self.place.name, release).slug.layers
        source = next(each for each in layers if each.kind == "source")
        with tempfile.TemporaryDirectory(prefix="homeport-") as directory:
            root = unpacked(self.store, Path(directory).resolve(), app, source)
            place = (root / path).resolve()
            return place.read_bytes() if place.is_relative_to(root) and place.is_file() else None

    def answers(
        self, environment: str, app: str, group: str, *, since_at: datetime, until_at: datetime
    ) -> Mapping[int, Answers]:
        raise Unavailable("what became of requests isn't read from AWS yet")

    # --- executing ----------------------------------------------------------------------------------------------------

    def admit(self, environment: str, app: str, *, fence: int) -> None:
        if self._kept(environment).fences.get(app) == fence:
            return

        def admitted(kept: Kept) -> Kept:
            if fence < kept.fences.get(app, 0):
                raise Conflict(f"fence {fence} of {app} in {environment} is over: {kept.fences[app]} was seen")
            return replace(kept, fences={**kept.fences, app: fence})

        self._change(environment, admitted)

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        if isinstance(action, Prepare | SetLaunch | SetRoutes):
            self.admit(environment, action.app, fence=fence)
            self._keep(environment, action)
        else:
            self._act(environment, action, fence)
        self._changed()

    def _act(self, environment: str, action: Action, fence: int) -> None:
        match action:
            case SetCapacity():
                self.admit(environment, action.app, fence=fence)
                pool = self.seen.pool(action.app, action.group)
                self.fleet.unprotect(pool, action.going)
                if pool.capacity != action.count:
                    self.fleet.set_capacity(pool, action.count)
                self.seen.forget()
            case HoldBack():
                self.admit(environment, action.app, fence=fence)
                held = self.seen.pool(action.app, action.group)
                hold.hold_back(self.fleet, held, self._kept(environment), action, partial(self._change, environment))
                self.seen.forget()
            case RunTask():
                self.admit(environment, action.app, fence=fence)
                first = self.catalogue.get(action.app, self.place.name, action.release).resolved.groups[0]
                self.one_offs.run(self._kept(environment), action, self.seen.pool(action.app, first.name))
                self.seen.forget()
            case EndTask():
                self.admit(environment, action.app, fence=fence)
                self.one_offs.end(self._kept(environment), action.task, by_force=action.by_force)
                self.seen.forget()
            case Start() | Inherit() | EnterStandby() | PutInService() | Drain() | Stop() | Terminate():
                its = self.seen.members.get(action.instance)
                if its is None:
                    raise NotFound(f"instance {action.instance} isn't in {environment}")
                self.admit(environment, its.app, fence=fence)
                prepared = self._kept(environment).prepared.get(its.app, ())
                if isinstance(action, Inherit) and action.release not in prepared:
                    raise NotFound(f"r{action.release} of {its.app} isn't prepared in {environment}")
                self.orders.tell(its, action)
            case _:
                raise Invalid(f"engine aws can't {type(action).__name__} yet", hint="docs/limits.md")

    def _keep(self, environment: str, action: Prepare | SetLaunch | SetRoutes) -> None:
        app, number = action.app, action.release

        def changed(kept: Kept) -> Kept:
            match action:
                case Prepare(release=release):
                    self.catalogue.get(app, kept.place.name, release)
                    return replace(kept, prepared={**kept.prepared, app: _with(kept.prepared.get(app, ()), release)})
                case SetRoutes(release=release):
                    return replace(kept, routes={**kept.routes, app: release})
            launch = {key: each for key, each in kept.launch.items() if key != app}
            return replace(kept, launch=launch if number is None else {**launch, app: number})

        kept = self._change(environment, changed)
        if kept.maintenance and isinstance(action, SetRoutes):
            self._bring_closures(kept)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is told of it is told at once, too."""
        self._events = []
        try:
            with self.orders.together():
                yield
        finally:
            events, self._events = self._events, None
            if events:
                self.diary.record(events)

    # --- what people asked for ----------------------------------------------------------------------------------------

    def asked(self, environment: str) -> Asked:
        kept = self._kept(environment)
        return Asked(groups=kept.groups, maintenance=kept.maintenance)

    def ask(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        match said:
            case ZoneAsked():
                raise Invalid("engine aws can't fail a zone on purpose", hint="docs/limits.md")
            case MaintenanceAsked():
                self._close(environment, said)
            case GroupAsked():
                self._ask_group(environment, said)
        self._changed()

    def _close(self, environment: str, said: MaintenanceAsked) -> None:
        """The balancer first has what it can't take."""
        kept = self._kept(environment)
        others = tuple(each for each in kept.maintenance if each.app != said.app)
        asked = (*others, said) if said.on else others
        maintenance_rules(self._routed(kept), asked)  # raises for what there is no room for
        self._bring_closures(self._change(environment, lambda known: replace(known, maintenance=asked)))

    def _bring_closures(self, kept: Kept) -> None:
        targets = {(each.app, each.group): each.targets[0] for each in self.fleet.look() if each.targets}
        self.closures.bring(maintenance_rules(self._routed(kept), kept.maintenance), targets)

    def _routed(self, kept: Kept) -> list[Resolved]:
        """The releases whose routes hold."""
        return [self.catalogue.get(app, kept.place.name, each).resolved for app, each in sorted(kept.routes.items())]

    def _ask_group(self, environment: str, said: GroupAsked) -> None:
        self.seen.anew()  # what is suspended by now says what is to be resumed
        hold.ask(self.fleet, self.seen.pool(said.app, said.group), self._kept(environment), said)
        self.seen.forget()

        def kept_then(kept: Kept) -> Kept:
            others = tuple(each for each in kept.groups if (each.app, each.group) != (said.app, said.group))
            return replace(kept, groups=others if said.nothing else (*others, said))

        self._change(environment, kept_then)

    def record(self, event: Event) -> None:
        if self._events is None:
            self.diary.record((event,))
        else:
            self._events.append(event)

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.diary.events(after, limit)

    def history(self, environment: str) -> Sequence[Event]:
        self._check(environment)
        found = [
            event
            for pool in self.fleet.look()
            for event in told_by(pool.activities or self.fleet.activities(pool.name), environment, pool.app, pool.group)
        ]
        return sorted(found, key=lambda each: each.at)

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        """Of what is gone, or never came to run, what it left."""
        return self._logs.lines(self._kept(environment), query, follow=follow)

    # --- beside the fleet ---------------------------------------------------------------------------------------------

    def sessions(self, environment: str) -> tuple[Session, ...]:
        return one_off.sessions(self.one_offs.followed(self._kept(environment)))

    def end_session(self, environment: str, session: str, *, by_force: bool) -> None:
        self.one_offs.end(self._kept(environment), session, by_force=by_force)

    def begin_session(self, asked: RunTask, group: str, session: Session) -> None:
        """The command runs on an instance of its own, unless that is being done already."""
        self.one_offs.run(self._kept(self.place.id), asked, self.seen.pool(asked.app, group), session)

    def number_session(self, environment: str) -> int:
        """One that no other session has."""
        return self._change(environment, lambda kept: replace(kept, last_run=kept.last_run + 1)).last_run

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check(self, environment: str) -> None:
        if environment != self.place.id:
            raise NotFound(f"environment {environment!r} isn't the one that this is for: {self.place.id}")

    def _kept(self, environment: str) -> Kept:
        self._check(environment)
        return _up(environment, self.memory.read())

    def _change(self, environment: str, changed: Callable[[Kept], Kept]) -> Kept:
        self._check(environment)
        return self.memory.change(lambda kept: changed(_up(environment, kept)))


def _up(environment: str, kept: Kept | None) -> Kept:
    if kept is None:
        raise NotUp(f"environment {environment!r} isn't up", hint=f"homeport up -e {environment}")
    return kept


def _with(numbers: tuple[int, ...], number: int) -> tuple[int, ...]:
    return tuple(sorted({*numbers, number}))
