"""Simulations, from beginning to end: of a scenario, and of random faults in rounds, each followed by a calm in
which everything must be well again. Called by `homeport simulate`, the tests and the bench.

The same seed gives the same simulation, to the last action."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec import Struct

from homeport.errors import HomeportError
from homeport.model.fleet import Instance
from homeport.model.platform import Resolved
from homeport.simulation.fault import Fault, deploying, planned
from homeport.simulation.happening import bring
from homeport.simulation.invariant import CALM, serves
from homeport.simulation.world import World

LONGEST_STEP = 60.0
SHORTEST_STEP = 0.01
SAME_MOMENT = 50
ROUND_SECONDS = 1800.0
CONVERGES_WITHIN = timedelta(minutes=20)
"""Once faults stop: two of the breaker's longest pauses, a deployment that waits for its grace time, its way back."""
REST_SECONDS = 600.0


class Capacity(Struct, frozen=True, kw_only=True):
    """How many of a group's instances served, of how many wanted, from `at_seconds` on."""

    at_seconds: float
    group: str
    serving: int
    wanted: int


class Line(Struct, frozen=True, kw_only=True):
    """One entry of a timeline. `kind`: `fault`, `refused`, `crash`, or that of an event."""

    at_seconds: float
    kind: str
    words: str


class Result(Struct, frozen=True, kw_only=True):
    """`worst`: of each group, the lowest share of what was wanted, while anything was. `problems`: invariants that
    didn't hold; empty: all did."""

    seconds: float
    faults: int
    crashes: int
    actions: int
    lines: tuple[Line, ...]
    worst: tuple[Capacity, ...]
    problems: tuple[str, ...]
    trace: tuple[str, ...] = ()


class Simulation:
    """A world that is run. Its first release is up when it begins. `until_a_problem`: no further than the first one."""

    def __init__(
        self,
        formation: Resolved,
        shuffled: Callable[[list[Instance]], None] | None = None,
        *,
        until_a_problem: bool = False,
    ) -> None:
        self.world = World(formation, shuffled=shuffled)
        self.until_a_problem = until_a_problem
        self.faults = 0
        self.worst: dict[str, Capacity] = {}
        self._last: dict[str, Capacity] = {}
        self.world.deploy()
        self._until(600.0, self.calm)
        self.world.zero = self.world.seconds
        self.world.events.clear()
        self.watching = True

    watching = False

    def play(self, faults: Sequence[Fault], seconds: float) -> None:
        """For so many seconds, with these faults."""
        began = self.world.seconds
        ahead = sorted(faults, key=lambda each: each.at_seconds)
        while self.world.seconds < began + seconds and not self._over:
            while ahead and began + ahead[0].at_seconds <= self.world.seconds:
                bring(self.world, ahead.pop(0))
                self.faults += 1
            due = began + (ahead[0].at_seconds if ahead else seconds)
            self._step(due - self.world.seconds)
        for each in ahead if not self._over else ():
            bring(self.world, each)
            self.faults += 1

    @property
    def _over(self) -> bool:
        return self.until_a_problem and bool(self.world.problems)

    def settle(self) -> None:
        """Everything is well again within the bound, and then nothing is done."""
        if not self._until(CONVERGES_WITHIN.total_seconds(), self.calm):
            for name, words in self._troubles():
                self.world.problem(name, f"{words} {CONVERGES_WITHIN} after the last fault")
            return
        before = len(self.world.actions)
        self._until(REST_SECONDS, lambda: False)
        for _, action in self.world.actions[before:][:3]:
            self.world.problem("a_fixpoint_has_no_actions", repr(action))

    def calm(self) -> bool:
        return not self._troubles()

    def result(self, trace: bool = False) -> Result:
        world = self.world
        lines = tuple(Line(at_seconds=at - self.world.zero, kind=kind, words=words) for at, kind, words in world.events)
        return Result(
            seconds=world.seconds - self.world.zero,
            faults=self.faults,
            crashes=world.crashes,
            actions=len(world.actions),
            lines=lines,
            worst=tuple(self.worst.values()),
            problems=tuple(world.problems),
            trace=tuple(f"{at:.3f} {action!r}" for at, action in world.actions) if trace else (),
        )

    def _until(self, seconds: float, ready: Callable[[], bool]) -> bool:
        until = self.world.seconds + seconds
        while self.world.seconds < until and not self._over:
            if ready():
                return True
            self._step(until - self.world.seconds)
        return ready()

    def _step(self, most: float) -> None:
        """Ticks until nothing more is done at this moment, then time passes until something may happen."""
        wake: float | None = 0.0
        for _ in range(SAME_MOMENT):
            before = len(self.world.actions)
            wake = self.world.tick()
            self._measure()
            if len(self.world.actions) == before and wake != 0.0:
                break
        ahead = self.world.memory.next_change_in(self.world.place.id)
        steps = [each for each in (wake, ahead, most, LONGEST_STEP) if each is not None]
        self.world.clock.advance(max(SHORTEST_STEP, min(steps)))

    def _troubles(self) -> list[tuple[str, str]]:
        world = self.world
        observed = world.memory.observe(world.place.id)
        try:
            active = world.control.environments[world.place.id].app(world.app).active
            desired = world.desired(observed)
        except (HomeportError, LookupError) as error:
            return [("it_is_known_what_shall_be", str(error))]
        found = [("a_deployment_ends", "a deployment goes on")] if active else []
        for group in desired.values():
            found += [(holds.__name__, said) for holds in CALM if (said := holds(group, observed))]
        return found

    def _measure(self) -> None:
        if not self.watching:
            return
        world = self.world
        observed = world.memory.observe(world.place.id)
        for name, group in world.desired(observed).items():
            wanted = sum(each.count for each in group.cohorts if each.serving)
            serving = sum(
                1
                for each in observed.instances
                if each.group == name and serves(each, group, observed) and each.id not in world.lying
            )
            now = Capacity(
                at_seconds=world.seconds - self.world.zero, group=name, serving=min(serving, wanted), wanted=wanted
            )
            last = self._last.get(name)
            if last is not None and (last.serving, last.wanted) != (now.serving, now.wanted):
                world.note("capacity", f"{name}: {now.serving} of {now.wanted} serve")
            self._last[name] = now
            if wanted and (name not in self.worst or _share(now) < _share(self.worst[name])):
                self.worst[name] = now


def _share(capacity: Capacity) -> float:
    return capacity.serving / capacity.wanted


def random_faults(
    formation: Resolved,
    *,
    seed: int,
    hours: float,
    shuffled: bool = True,
    trace: bool = False,
    deployments: bool = False,
) -> Result:
    """Rounds of random faults, each with a calm after it, every other one with a zone that stays lost. `deployments`:
    most of them befall deployments."""
    chance = random.Random(seed)
    order = random.Random(seed + 1)
    # a driver that is spoilt may never come to rest
    simulation = Simulation(formation, order.shuffle if shuffled else None, until_a_problem=deployments)
    groups = [each.name for each in formation.groups]
    while simulation.world.seconds - simulation.world.zero < hours * 3600 and not simulation.world.problems:
        plan = deploying if deployments else planned
        simulation.play(plan(chance, groups, seconds=ROUND_SECONDS), ROUND_SECONDS)
        zone = chance.choice(["", "a", "b", "c"])
        if zone:
            bring(simulation.world, Fault(at_seconds=0, kind="freeze-zone", value=zone))
            simulation.settle()
            bring(simulation.world, Fault(at_seconds=0, kind="restore-zone", value=zone))
        simulation.settle()
    return simulation.result(trace)


def scenario(formation: Resolved, faults: Sequence[Fault], *, hours: float) -> Result:
    """What a user wrote, until `hours` are over, or for as long as it takes until all is well again."""
    simulation = Simulation(formation)
    last = max((each.at_seconds for each in faults), default=0.0)
    simulation.play(faults, max(hours * 3600, last + 1))
    return simulation.result()
