"""A simulated environment: the real control loop on the memory engine, under a clock that is moved, and what goes wrong
in it. Used by `simulation.run`."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from homeport.control.control import Control
from homeport.control.deployment import AppControl
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.clock import VirtualClock
from homeport.engines.memory.engine import MemoryEngine
from homeport.errors import Conflict, HomeportError, Unavailable
from homeport.model.action import Action, Launch
from homeport.model.event import Event
from homeport.model.fleet import GroupDesired, Instance, Observation, State
from homeport.model.platform import Resolved, Strategy
from homeport.model.release import Layer, Release, Slug
from homeport.plan.desired import desired_groups
from homeport.plan.member import age
from homeport.plan.release import release_key
from homeport.plan.retention import parts
from homeport.ports.engine import Engine
from homeport.simulation.fault import Fault
from homeport.simulation.invariant import ALWAYS, Moment
from homeport.simulation.judge import Judge

BEHAVIOURS = {
    "well": Behaviour(),
    "gate": Behaviour(),
    "never-healthy": Behaviour(healthy_after=None),
    "dies": Behaviour(dies_after=4.0),
    "sickens": Behaviour(unhealthy_after=5.0),
    "errors": Behaviour(error_share=0.3),
    "slowly": Behaviour(healthy_after=8.0, task_seconds=5.0),
    "task-fails": Behaviour(task_exit_code=3),
    "task-hangs": Behaviour(task_seconds=None),
    "task-is-deaf": Behaviour(task_seconds=None, stops_after=None),
}
"""What a release does that is deployed so."""

AWAKE_SECONDS = 30.0
"""For so long a control plane that had hung goes on, beside the one that has taken over."""


class Crash(BaseException):
    """The control plane dies here. No Exception: nothing catches it."""


class World:
    """`shuffled`: what is observed comes in another order each time. `problems`: which invariant didn't hold, when."""

    def __init__(self, formation: Resolved, *, shuffled: Callable[[list[Instance]], None] | None = None) -> None:
        self.formation = formation
        self.app = formation.app
        self.place = formation.place
        self.shuffled = shuffled
        self.clock = VirtualClock()
        self.zero = 0.0
        """When what is told of begins."""
        self.judge = Judge(self)
        self.store = self.judge.store
        self.releases: dict[int, Release] = {}
        self.memory: MemoryEngine = MemoryEngine(self.clock, lambda _app, _name, number: self.releases[number])
        self.memory.open_environment(self.place)
        self.memory.load_per_second = 20.0
        self.problems: list[str] = []
        self.actions: list[tuple[float, Action]] = []
        self.events: list[tuple[float, str, str]] = []
        self.launch_behaviour: Behaviour | None = None
        self.crash_in: int | None = None
        self.blind = self.stale = self.crashes = 0
        self.lying: set[str] = set()
        self.holders = 1
        self.sleepers: list[tuple[float, AppControl]] = []
        """Control planes that hang, and until when: another one has taken over meanwhile."""
        self.shown: Observation | None = None
        """What the control loop saw last."""
        self._done: list[Action] = []
        self.control: Control = self.new_control()

    @property
    def seconds(self) -> float:
        return self.clock.monotonic()

    def new_control(self) -> Control:
        return Control(cast(Engine, _Watched(self)), self.store, self.clock, holder=f"simulation-{self.holders}")

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self) -> float | None:
        """One tick of the control loop, which is started again where it dies in it. Seconds until the next at the
        latest."""
        self._done.clear()
        try:
            wake = self.control.tick()
        except Crash:
            self.crashes += 1
            self.note("crash", "the control plane dies, and is started again")
            self.control = self.new_control()
            return 0.0
        self._wake_sleepers()
        self.judge.look(self.app_control())
        self.blind, self.stale = max(0, self.blind - 1), max(0, self.stale - 1)
        for each in self.control.environments.values():
            if "Homeport's own" in each.trouble:
                self.problem("no_error_of_its_own", each.trouble)
        return wake

    def app_control(self) -> AppControl:
        return self.control.environments[self.place.id].app(self.app)

    def _wake_sleepers(self) -> None:
        """They go on where they were, as if no time had passed."""
        crash_in, self.crash_in = self.crash_in, None
        for each in list(self.sleepers):
            until, app = each
            if self.seconds >= until and app.lease.fence < self.judge.lease():
                with contextlib.suppress(HomeportError):
                    app.advance(self.observe())
                if self.seconds >= until + AWAKE_SECONDS:
                    self.sleepers.remove(each)
        self.crash_in = crash_in

    def point(self) -> None:
        """Before and after every effect."""
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in <= 0:
                self.crash_in = None
                raise Crash

    # --- seeing -------------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        if self.blind:
            raise Unavailable("nothing can be observed")
        if self.stale and self.shown is not None:
            return _copied(self.shown)
        found = self.memory.observe(self.place.id)
        if self.shuffled is not None:
            order = list(found.instances)
            self.shuffled(order)
            found = replace(found, instances=tuple(order))
        self.shown = _copied(found)
        return found

    def desired(self, observed: Observation) -> dict[str, GroupDesired]:
        """What each group shall be now."""
        control = self.app_control()
        groups = desired_groups(
            self.app,
            deployment=control.deployment,
            launch=observed.launch.get(self.app),
            releases={number: each.resolved for number, each in self.releases.items()},
            asked=self.memory.asked(self.place.id),
            present=sorted({each.group for each in observed.instances}),
            now=self.clock.now(),
        )
        return {each.name: each for each in groups}

    def note(self, kind: str, words: str) -> None:
        self.events.append((self.seconds, kind, words))

    def problem(self, invariant: str, words: str) -> None:
        self.problems.append(f"{timedelta(seconds=round(self.seconds - self.zero))} {invariant}: {words}")

    # --- doing --------------------------------------------------------------------------------------------------------

    def execute(self, action: Action, fence: int) -> None:
        self.point()
        if not self.stale:
            self._judge(action, fence)
        if isinstance(action, Launch) and self.launch_behaviour is not None:
            self.memory.own[action.instance] = self.launch_behaviour
        self.memory.execute(self.place.id, action, fence=fence)
        self._done.append(action)
        self.actions.append((self.seconds, action))
        self.point()

    def _judge(self, action: Action, fence: int) -> None:
        if self.shown is None:
            return
        # what the deployment has moved within this tick is known to it
        seen = replace(self.shown, launch=self.memory.observe(self.place.id).launch)
        moment = Moment(
            action=action,
            shown=self.shown,
            desired=self.desired(seen),
            done=tuple(self._done),
        )
        for holds in ALWAYS:
            if problem := holds(moment):
                self.problem(holds.__name__, f"{problem} ({type(action).__name__} of {_subject(action)})")
        self.judge.action(action, self.shown, fence, tuple(self._done))

    def deploy(self, *, strategy: Strategy | None = None, how: str = "well") -> None:
        """A new release, with code of its own, which does as `how` says. Refused while another is being deployed."""
        said = self.formation.deploy
        pause_after = "50%" if how == "gate" else said.pause_after
        said = replace(said, strategy=strategy or said.strategy, pause_after=pause_after)
        number = len(self.releases) + 1
        layer = Layer(sha256=f"{number:064x}", kind="source", size_bytes=1)
        release = Release(
            app=self.app,
            environment=self.place.name,
            number=number,
            slug=Slug(layers=(layer,), image="simulated", commit=f"{number:040x}"),
            config="0" * 64,
            resolved=replace(self.formation, deploy=said),
            created_at=self.clock.now(),
            created_by="simulation",
            why="simulation",
            origin=number,
        )
        self.releases[number] = release
        for key in parts(release):
            with contextlib.suppress(Conflict):  # all have the same config
                self.judge.raw.create(key, b"-")
        self.judge.raw.create(release_key(self.app, self.place.name, number), msgspec.json.encode(release))
        self.memory.behaviours[number] = BEHAVIOURS[how]
        self.control.deploy(self.place, self.app, number, by="simulation", why="simulation")

    def chosen(self, fault: Fault) -> Instance:
        """An instance in service of the fault's group. Raises LookupError."""
        there = sorted(
            (
                each
                for each in self.memory.observe(self.place.id).instances
                if each.group == fault.group and each.state is State.IN_SERVICE
            ),
            key=age,
        )
        if not there:
            raise LookupError(f"nobody of {fault.group} is in service")
        return there[fault.choice % len(there)]

    def afflict(self, fault: Fault, **fields: Any) -> None:
        found = self.chosen(fault)
        seconds = (self.clock.now() - (found.started_at or found.created_at)).total_seconds()
        self.memory.own[found.id] = Behaviour(unhealthy_after=max(0.1, seconds), **fields)

    def ask(self, fault: Fault, **fields: Any) -> None:
        said = self.memory.asked(self.place.id).of(self.app, fault.group)
        self.memory.ask(self.place.id, replace(said, **fields))


class _Watched:
    """The memory engine, as the control loop sees it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.memory, name)

    def observe(self, environment: str) -> Observation:
        return self._world.observe()

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        self._world.execute(action, fence)

    def record(self, event: Event) -> None:
        self._world.point()
        self._world.note(event.kind, f"{event.subject}: {event.message}")


def _copied(observed: Observation) -> Observation:
    """The control loop writes into what it was shown."""
    return replace(
        observed,
        routes=dict(observed.routes),
        launch=dict(observed.launch),
        last_ordinal=dict(observed.last_ordinal),
        fence=dict(observed.fence),
    )


def _subject(action: Action) -> str:
    return str(getattr(action, "instance", getattr(action, "app", "")))
