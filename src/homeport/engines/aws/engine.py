"""AWS as an engine: Auto Scaling groups heal, load balancers balance, Systems Manager deploys in place. Wired for the
length of one command; implements `ports.engine.Engine`.

What AWS doesn't remember by itself is in the object store (`kept`). It decides nothing: `plan.pool` does.
"""

import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from homeport.engines.aws import answer, log, one_off
from homeport.engines.aws.command import AT_ONCE, Commands
from homeport.engines.aws.fleet import Fleet, Pool
from homeport.engines.aws.kept import Kept, Memory, Turn
from homeport.engines.aws.maintenance import Closures
from homeport.engines.aws.one_off import OneOffs
from homeport.engines.diskless import Diskless
from homeport.errors import Conflict, Invalid, NotFound, Unavailable
from homeport.instance.release import unpacked
from homeport.model.action import (
    Action,
    Drain,
    EndTask,
    EnterStandby,
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
from homeport.model.fleet import Capacity, Instance, Observation, Preparation, State
from homeport.model.platform import Place, Resolved
from homeport.model.release import Release
from homeport.model.session import Session
from homeport.plan.aws_route import maintenance_rules
from homeport.plan.aws_stacks import store_url
from homeport.plan.last_words import LastWords, last_words_key, last_words_prefix
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine, LogQuery
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.system.clock import pause

LOOK_AGAIN_SECONDS = 1.0
FOLLOW_SECONDS = 2.0
DEPLOY_SECONDS, STOP_SECONDS = 1800, 600
BOOT = ("homeport-agent", "boot", "--wait", "10m")
WORDS_COUNT = timedelta(hours=1)
"""So long an instance's last words are told."""


class AwsEngine(Diskless):
    """Of one environment. `url`: asks where its public side is, once its stacks stand; `listener`: the ARN of its
    balancer's listener."""

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
    ) -> None:
        super().__init__(clock)
        self.place = place
        self.store = store
        self.catalogue = Catalogue(store)
        self.fleet = Fleet(client, place)
        self.commands = Commands(client)
        self.closures = Closures(client, listener or url)
        self.memory = Memory(store, place.id)
        self.one_offs = OneOffs(
            client, place, store=store, clock=clock, change=lambda changed: self._change(place.id, changed)
        )
        self._url = url
        self._lock = threading.RLock()
        self._pools: tuple[Pool, ...] = ()
        """As last looked at."""
        self._starts: list[Start] | None = None
        """Those that `together` gathers."""
        self._words: dict[str, LastWords] = {}
        self._told: dict[str, datetime] = {}
        """When this very engine told instances to stop."""

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
        if any(each.members for each in self.fleet.look()):
            raise Conflict(f"{environment} still has instances")
        self.memory.forget()

    def begin_leave(self, environment: str, app: str) -> None:
        def leaves(kept: Kept) -> Kept:
            if app not in kept.fences:
                raise NotFound(f"{app} isn't in {environment}")
            routes = {key: each for key, each in kept.routes.items() if key != app}
            return replace(kept, leaving=tuple(sorted({*kept.leaving, app})), routes=routes)

        self._change(environment, leaves)

    def forget_app(self, environment: str, app: str) -> None:
        if any(each.members for each in self.fleet.look() if each.app == app):
            raise Conflict(f"{app} still has instances")

        def without(known: Mapping[str, Any]) -> dict[str, Any]:
            return {key: each for key, each in known.items() if key != app}

        self._change(
            environment,
            lambda kept: replace(
                kept,
                fences=without(kept.fences),
                launch=without(kept.launch),
                routes=without(kept.routes),
                prepared=without(kept.prepared),
                groups=tuple(each for each in kept.groups if each.app != app),
                tasks={id_: each for id_, each in kept.tasks.items() if each.app != app},
                leaving=tuple(each for each in kept.leaving if each != app),
            ),
        )

    def environments(self) -> dict[str, tuple[Place, str]]:
        kept = self.memory.read()
        return {} if kept is None else {kept.place.id: (kept.place, kept.url)}

    # --- observing ----------------------------------------------------------------------------------------------------

    def observe(self, environment: str) -> Observation:
        kept = self.one_offs.followed(self._followed(self._kept(environment)))
        pools = self.fleet.look()
        with self._lock:
            self._pools = pools
        now = self.clock.now()
        pulls = [(each, self._pulled(each, kept)) for each in pools]
        living = [
            answer.instance(pool, each, kept, now, pulled=pulled, stop_at=self._told.get(each.id))
            for pool, pulled in pulls
            for each in pool.members
        ]
        missing = [answer.not_launched(pool, each, pulled) for pool, pulled in pulls for each in pool.refusals]
        return Observation(
            at=now,
            instances=(
                *living,
                *missing,
                *_refused(living, kept, now),
                *self._ended(kept, {each.id for each in living}, now),
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
            capacity=tuple(Capacity(app=each.app, group=each.group, count=each.capacity) for each in pools),
        )

    def _pulled(self, pool: Pool, kept: Kept) -> int:
        """What a new instance of the group comes upon in the store; 0 where nobody needs to know."""
        if not pool.refusals and all(answer.told(each) is not None for each in pool.members):
            return 0
        pointed = self.catalogue.launch(pool.app, self.place.name, pool.group)
        return pointed if pointed is not None else kept.launch.get(pool.app, 0)

    def _followed(self, kept: Kept) -> Kept:
        """What became of the turns that nobody knew the end of."""
        found: dict[str, Turn] = {}
        going_on = {instance: turn for instance, turn in kept.turns.items() if turn.command}
        for command in {each.command for each in going_on.values()}:
            for instance, well in self.commands.ended(command).items():
                turn = going_on.get(instance)
                if turn is not None and turn.command == command:
                    found[instance] = self._over(instance, turn, well=well)
        if not found:
            return kept
        return self._change(kept.place.id, lambda known: replace(known, turns={**known.turns, **found}))

    def _over(self, instance: str, turn: Turn, *, well: bool) -> Turn:
        now = self.clock.now()
        if well:
            return replace(turn, command="", ended_at=now)
        result = self.commands.result(turn.command, instance)
        first, *lines = [*result.errors.strip().splitlines(), f"homeport-agent deploy: {result.status}"]
        why = first.removeprefix("error: ")
        return replace(turn, command="", ended_at=now, failed=why, lines=tuple(lines))

    def _ended(self, kept: Kept, living: set[str], now: datetime) -> Iterator[Instance]:
        """Those that left word why they never got ready."""
        for app in kept.fences:
            prefix = last_words_prefix(app, kept.place.name)
            for entry in self.store.entries(prefix):
                id_ = entry.key.removeprefix(prefix)
                if id_ in living or now - entry.modified_at > WORDS_COUNT:
                    continue
                if entry.key not in self._words:
                    self._words[entry.key] = msgspec.json.decode(self.store.get(entry.key), type=LastWords)
                words = self._words[entry.key]
                pointed = self.catalogue.launch(app, kept.place.name, words.group)
                yield answer.ended(words, app, words.release or pointed or 0)

    def release(self, environment: str, app: str, number: int) -> Release | None:
        kept = self._kept(environment)
        if number not in kept.prepared.get(app, ()):
            return None
        return self.catalogue.get(app, kept.place.name, number)

    # --- executing ----------------------------------------------------------------------------------------------------

    def admit(self, environment: str, app: str, *, fence: int) -> None:
        def admitted(kept: Kept) -> Kept:
            if fence < kept.fences.get(app, 0):
                raise Conflict(f"fence {fence} of {app} in {environment} is over: {kept.fences[app]} was seen")
            return replace(kept, fences={**kept.fences, app: fence})

        self._change(environment, admitted)

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        match action:
            case Prepare() | SetLaunch() | SetRoutes():
                self.admit(environment, action.app, fence=fence)
                self._keep(environment, action)
            case SetCapacity():
                self.admit(environment, action.app, fence=fence)
                self.fleet.set_capacity(self._pool_of(action.app, action.group), action.count)
            case RunTask():
                self.admit(environment, action.app, fence=fence)
                first = self.catalogue.get(action.app, self.place.name, action.release).resolved.groups[0]
                self.one_offs.run(self._kept(environment), action, self._pool_of(action.app, first.name))
            case EndTask():
                self.admit(environment, action.app, fence=fence)
                self.one_offs.end(self._kept(environment), action.task, by_force=action.by_force)
            case Start() | Inherit() | EnterStandby() | PutInService() | Drain() | Stop() | Terminate():
                pool = answer.by_instance(self._pools).get(action.instance)
                if pool is None:
                    raise NotFound(f"instance {action.instance} isn't in {environment}")
                self.admit(environment, pool.app, fence=fence)
                self._for_instance(pool, action)
            case _:
                raise Invalid(f"engine aws can't {type(action).__name__} yet", hint="docs/limits.md")
        self._changed()

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

    def _for_instance(
        self, pool: Pool, action: Start | Inherit | EnterStandby | PutInService | Drain | Stop | Terminate
    ) -> None:
        match action:
            case Start():
                if self._starts is None:
                    self._start([action])
                else:
                    self._starts.append(action)
            case Inherit():
                self.fleet.tag(action.instance, action.release)
                self._turns({action.instance: Turn(release=action.release, command="", begun_at=self.clock.now())})
            case EnterStandby():
                self.fleet.enter_standby(pool, action.instance)
            case PutInService():
                if self.fleet.put_in_service(pool, action.instance):
                    self.commands.send([action.instance], BOOT, seconds=DEPLOY_SECONDS, why="it comes from standby")
            case Drain():
                self.fleet.deregister(pool, action.instance)
            case Stop():
                if action.instance not in self._told:
                    self._told[action.instance] = self.clock.now()
                    argv = ("homeport-agent", "stop")
                    with suppress(NotFound):  # it has gone meanwhile
                        self.commands.send([action.instance], argv, seconds=STOP_SECONDS, why="its group ends it")
            case Terminate():
                self.fleet.terminate(action.instance)

    @contextmanager
    def together(self) -> Iterator[None]:
        self._starts = []
        try:
            yield
        finally:
            starts, self._starts = self._starts, None
            self._start(starts)

    def _start(self, starts: Sequence[Start]) -> None:
        """Instances that get the same release are told by one command."""
        pools = answer.by_instance(self._pools)
        wanted: dict[tuple[str, int], list[str]] = {}
        for each in starts:
            wanted.setdefault((pools[each.instance].app, each.release), []).append(each.instance)
        for (app, release), instances in wanted.items():
            url = f"{store_url(self.place)}/{app}/{self.place.name}/r{release}"
            for first in range(0, len(instances), AT_ONCE):
                chosen = instances[first : first + AT_ONCE]
                argv = ("homeport-agent", "deploy", "--wait", "10m", url)
                command = self.commands.send(chosen, argv, seconds=DEPLOY_SECONDS, why=f"r{release} of {app}")
                turn = Turn(release=release, command=command, begun_at=self.clock.now())
                self._turns(dict.fromkeys(chosen, turn))

    def _turns(self, turns: Mapping[str, Turn]) -> None:
        """Those of instances that are gone are forgotten."""
        there = answer.by_instance(self._pools)

        def turned(kept: Kept) -> Kept:
            return replace(kept, turns={id_: each for id_, each in kept.turns.items() if id_ in there} | dict(turns))

        self._change(self.place.id, turned)

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
        self.fleet.suspend(self._pool_of(said.app, said.group), [each.value for each in said.suspended])

        def kept_then(kept: Kept) -> Kept:
            others = tuple(each for each in kept.groups if (each.app, each.group) != (said.app, said.group))
            return replace(kept, groups=others if said.nothing else (*others, said))

        self._change(environment, kept_then)

    def record(self, event: Event) -> None:
        self.memory.record(event)

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        return self.memory.events(after, limit)

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        """Of what is gone, or never came to run, its last words."""
        kept = self._kept(environment)
        told = self._written(kept, query.instance, follow=follow) if query.instance else None
        if told is not None:
            yield from told
            return
        while True:
            chosen = [
                member.id
                for pool in self.fleet.look()
                for member in pool.members
                if query.instance in ("", member.id)
                and query.group in ("", pool.group)
                and query.app in ("", pool.app)
                and answer.STATES.get(member.lifecycle) is State.IN_SERVICE
            ]
            lines = log.read(self.commands, self.clock, chosen, query) if chosen else []
            yield from lines
            if not follow:
                return
            if lines:
                query = replace(query, since_at=lines[-1].at + timedelta(microseconds=1), last=None)
            pause(FOLLOW_SECONDS)

    def _written(self, kept: Kept, id_: str, *, follow: bool) -> Iterable[LogLine] | None:
        """What lies in the store of what one wrote; None: nothing does."""
        words = self._last_words(kept, id_)
        return self.one_offs.log(kept, id_, follow=follow) if words is None else words

    def _last_words(self, kept: Kept, id_: str) -> list[LogLine] | None:
        """None: it is none of those that left any."""
        instance, _, refused = id_.partition(":")
        turn = kept.turns.get(instance)
        if refused and turn is not None and turn.failed:
            at = turn.ended_at or turn.begun_at
            return [LogLine(at=at, instance=id_, process="homeport-agent", text=each) for each in turn.lines]
        for app in kept.fences:
            try:
                data = self.store.get(last_words_key(app, kept.place.name, instance))
            except NotFound:
                continue
            words = msgspec.json.decode(data, type=LastWords)
            texts = (words.message, *words.details)
            return [LogLine(at=words.at, instance=id_, process="homeport-agent", text=each) for each in texts]
        return None

    # --- what there isn't ---------------------------------------------------------------------------------------------

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

    def sessions(self, environment: str) -> tuple[Session, ...]:
        return one_off.sessions(self.one_offs.followed(self._kept(environment)))

    def end_session(self, environment: str, session: str, *, by_force: bool) -> None:
        self.one_offs.end(self._kept(environment), session, by_force=by_force)

    def begin_session(self, asked: RunTask, group: str, session: Session) -> None:
        """The command runs on an instance of its own, unless that is being done already."""
        self.one_offs.run(self._kept(self.place.id), asked, self._pool_of(asked.app, group), session)

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

    def _pool_of(self, app: str, group: str) -> Pool:
        found = next((each for each in self._pools if (each.app, each.group) == (app, group)), None)
        if found is None:
            self._pools = self.fleet.look()
            found = next((each for each in self._pools if (each.app, each.group) == (app, group)), None)
        if found is None:
            raise NotFound(f"{app}/{group} has no Auto Scaling group in {self.place.id}", hint="homeport up")
        return found


def _refused(living: Sequence[Instance], kept: Kept, now: datetime) -> Iterator[Instance]:
    for each in living:
        turn = kept.turns.get(each.id)
        if turn is not None and turn.failed and turn.ended_at is not None and now - turn.ended_at < WORDS_COUNT:
            yield answer.refused(each, turn)


def _up(environment: str, kept: Kept | None) -> Kept:
    if kept is None:
        raise NotFound(f"environment {environment!r} isn't up", hint="homeport up")
    return kept


def _with(numbers: tuple[int, ...], number: int) -> tuple[int, ...]:
    return tuple(sorted({*numbers, number}))
