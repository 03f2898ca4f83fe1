"""A world for the contract suite: an engine with releases to try, and a way to let time pass."""

from collections.abc import Callable
from typing import Protocol

from homeport.engines.memory.clock import VirtualClock
from homeport.engines.memory.engine import Behaviour, MemoryEngine
from homeport.model.fleet import Observation
from homeport.model.platform import Place
from homeport.model.release import Release
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore

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


class MemoryWorld:
    """On the memory engine: time passes only in `until`."""

    def __init__(self, releases: dict[int, Release], store: ObjectStore) -> None:
        self.virtual = VirtualClock()
        self.clock: Clock = self.virtual
        self.store = store
        self.releases = releases
        self.place = releases[GOOD].resolved.place
        self.memory = MemoryEngine(
            self.clock,
            lambda _app, _environment, number: releases[number],
            {
                NEVER_HEALTHY: Behaviour(healthy_after=None),
                DEAF: Behaviour(stops_after=None),
                BAD_TASK: Behaviour(task_exit_code=7),
            },
        )
        self.engine: Engine = self.memory
        self.engine.open_environment(self.place)

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
