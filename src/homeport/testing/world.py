"""A world for the contract suite: an engine with releases to try, and a way to let time pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from homeport.control.control import Control
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.clock import VirtualClock
from homeport.engines.memory.engine import MemoryEngine
from homeport.engines.memory.pool import MemoryPools
from homeport.model.action import Action
from homeport.model.deployment import Deployment, Verdict
from homeport.model.fleet import Observation, Run, State, Target
from homeport.model.platform import Amount, Place
from homeport.model.release import Release
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue

APP = "plain"
GOOD, BETTER, NEVER_HEALTHY, DEAF, BAD_TASK = 1, 2, 3, 4, 5
"""Releases that every world has: groups `web` (2 instances, with targets) and `worker` (1, without)."""


class World(Protocol):
    """`engine` with an open `place`; `release(n)` as published in `store`."""

    engine: Engine
    place: Place
    store: ObjectStore
    clock: Clock

    def release(self, number: int) -> Release: ...

    def until(self, ready: Callable[[Observation], bool]) -> Observation:
        """The first observation that is ready. Raises AssertionError where it doesn't come."""
        ...

    def destroy(self, instance: str) -> None:
        """The instance's whole process tree is killed."""
        ...

    def pause(self, seconds: float | None) -> None:
        """Until something changes, or for so long (None: until something changes); sooner is right too."""
        ...


BEHAVIOURS = {
    NEVER_HEALTHY: Behaviour(healthy_after=None),
    DEAF: Behaviour(stops_after=None),
    BAD_TASK: Behaviour(task_exit_code=7),
}


class MemoryWorld:
    """On the memory engine: time passes only in `until`."""

    def __init__(self, releases: dict[int, Release], store: ObjectStore) -> None:
        self.virtual = VirtualClock()
        self.clock: Clock = self.virtual
        self.store = store
        self.releases = releases
        self.place = releases[GOOD].resolved.place
        self.memory = self._engine()
        self.engine: Engine = self.memory
        self.engine.open_environment(self.place)

    def _engine(self) -> MemoryEngine:
        return MemoryEngine(self.clock, lambda _app, _environment, number: self.releases[number], BEHAVIOURS)

    def release(self, number: int) -> Release:
        return self.releases[number]

    def until(self, ready: Callable[[Observation], bool]) -> Observation:
        for _ in range(2000):
            observed = self.engine.observe(self.place.id)
            if ready(observed):
                return observed
            self.virtual.advance(0.02)
        raise AssertionError(f"never ready: {observed}")

    def destroy(self, instance: str) -> None:
        self.memory.die(self.place.id, instance)

    def pause(self, seconds: float | None) -> None:
        self.virtual.advance(0.05 if seconds is None else min(max(seconds, 0.01), 0.05))


class HealingMemoryWorld(MemoryWorld):
    """On the memory engine whose groups keep themselves whole."""

    def _engine(self) -> MemoryPools:
        self.pools = MemoryPools(
            self.clock,
            lambda _app, _environment, number: self.releases[number],
            BEHAVIOURS,
            pulls=Catalogue(self.store).launch,
        )
        return self.pools

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.pools.refuses = "there is no room"
        yield
        self.pools.refuses = ""


class Recorder:
    """An engine that notes every action it is told to execute, and hands all on."""

    def __init__(self, engine: Engine) -> None:
        self.inner = engine
        self.actions: list[Action] = []

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        self.actions.append(action)
        self.inner.execute(environment, action, fence=fence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Controlled:
    """Control over a world, ticked by hand: no thread, no hidden order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.recorder = Recorder(world.engine)
        self.control = self.restarted()

    def restarted(self, holder: str = "test") -> Control:
        """A new control plane that knows nothing but what the engine and the store hold."""
        self.control = Control(cast(Engine, self.recorder), self.world.store, self.world.clock, holder=holder)
        return self.control

    def deploy(self, number: int, *, restart: bool = False, pause_after: Amount | None = None) -> int:
        return self.control.deploy(
            self.world.place, APP, number, by="tester", why="test", restart=restart, pause_after=pause_after
        )

    def settle(self, ready: Callable[[], bool], ticks: int = 2400) -> None:
        """Ticks until `ready`, within 2 minutes of virtual time. Raises AssertionError where it doesn't come."""
        for _ in range(ticks):
            wake = self.control.tick()
            if ready():
                return
            self.world.pause(wake)
        observed = self.world.engine.observe(self.world.place.id)
        raise AssertionError(f"never ready: {self.newest} {observed}")

    @property
    def newest(self) -> Deployment:
        found = self.control.newest(self.world.place.id, APP)
        assert found is not None
        return found

    def verdict(self) -> Verdict:
        """Of the newest deployment, once it has one."""
        self.settle(lambda: self.newest.ended is not None)
        assert self.newest.ended is not None
        return self.newest.ended.verdict

    def serving(self, group: str = "web") -> list[tuple[str, int]]:
        """(instance, release) of those that carry traffic, or are in service where there are no targets."""
        observed = self.world.engine.observe(self.world.place.id)
        return sorted(
            (each.id, each.release)
            for each in observed.instances
            if each.group == group
            and each.state is State.IN_SERVICE
            and (each.port is None or each.target is Target.READY)
            and each.run is Run.RUNNING
        )

    def quiet(self) -> None:
        """Ticks until nothing is on its way in or out."""
        self.settle(
            lambda: all(
                each.state in (State.TERMINATED, State.IN_SERVICE) and each.target is not Target.DRAINING
                for each in self.world.engine.observe(self.world.place.id).instances
            )
        )
