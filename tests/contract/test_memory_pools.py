"""The memory engine whose groups heal keeps the contract, and what `plan.pool` decides comes to its end on it."""

import random
from pathlib import Path

import pytest

from homeport.engines.memory.behaviour import Behaviour
from homeport.model.action import Action, Drain, Kill, Launch, PutInService, SetCapacity, Start, Stop, Terminate
from homeport.model.deployment import Verdict
from homeport.model.fleet import Check, Run, State
from homeport.plan.member import carries
from homeport.testing.contract import EngineContract
from homeport.testing.contract_healing import HealingContract
from homeport.testing.world import (
    APP,
    BETTER,
    GOOD,
    NEVER_HEALTHY,
    Controlled,
    HealingMemoryWorld,
    MemoryWorld,
    Recorder,
)
from tests.memory_world import formation, memory_world


@pytest.fixture
def world(tmp_path: Path) -> MemoryWorld:
    return memory_world(tmp_path, heals=True)


class TestMemoryPools(EngineContract, HealingContract):
    pass


ROLLING = {number: formation(web=3, worker=1, strategy="rolling", task=None) for number in range(1, 10)}


def test_what_the_pool_decider_wants_comes_about(tmp_path: Path) -> None:
    """Up, a better release in place, a death, a release that never gets healthy, more and fewer, down."""
    world = memory_world(tmp_path, ROLLING, heals=True)
    told = Controlled(world)
    told.deploy(GOOD)
    assert told.verdict() is Verdict.GOOD
    first = told.serving()
    assert [number for _, number in first] == [GOOD] * 3
    told.deploy(BETTER)
    assert told.verdict() is Verdict.GOOD
    assert told.serving() == [(id_, BETTER) for id_, _ in first], "in place"
    world.destroy(first[0][0])
    told.settle(lambda: len(told.serving()) == 3 and first[0][0] not in dict(told.serving()))
    before = told.serving()
    told.deploy(NEVER_HEALTHY)
    assert told.verdict() is Verdict.FAILED
    told.settle(lambda: told.serving() == before)
    told.control.scale(world.place.id, APP, "web", 5)
    told.settle(lambda: [number for _, number in told.serving()] == [BETTER] * 5)
    told.control.scale(world.place.id, APP, "web", 1)
    told.settle(lambda: len(told.serving()) == 1)
    told.quiet()
    told.control.down(world.place.id)
    told.settle(lambda: not told.control.environments)
    kinds = {type(each) for each in told.recorder.actions}
    assert kinds.isdisjoint({Launch, Kill}), "its groups do that"
    assert kinds >= {SetCapacity, Start, Drain, PutInService, Stop}


class Watched(Recorder):
    """Holds each action against what there is in that moment; `wanted` of web. `wrong`: in words, for the loop survives
    what is raised in it."""

    def __init__(self, told: Controlled) -> None:
        super().__init__(told.world.engine)
        self.told = told
        self.wanted = 3
        self.wrong: list[str] = []
        self.waited: set[str] = set()

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        web = [each for each in self.inner.observe(environment).instances if each.group == "web"]
        there = [each for each in web if carries(each, balanced=True) and each.run is Run.RUNNING]
        if isinstance(action, Drain | Start | Terminate):
            well = [each.id for each in there if each.check is Check.HEALTHY]
            if action.instance in well:
                least = self.wanted if isinstance(action, Terminate) else self.floor()
                self.wrong += [f"{action}: {least} of {well} carry on"] if len(well) <= least else []
        if isinstance(action, SetCapacity) and action.group == "web":
            kept = [each.id for each in web if each.state in (State.PENDING, State.IN_SERVICE)]
            too_few = action.count < max(self.wanted, len(kept))
            self.wrong += [f"{action}: its group would choose among {kept}"] if too_few else []
        super().execute(environment, action, fence=fence)

    def floor(self) -> int:
        (found,) = (each.floor for each in self.told.newest.started.groups if each.name == "web")
        return found

    def see(self) -> None:
        """After a tick: who is ended in order is told to stop by the next one."""
        observed = self.inner.observe(self.told.world.place.id)
        ended = [each for each in observed.instances if each.state is State.TERMINATING_WAIT and not each.died]
        waiting = {each.id for each in ended if each.run is not Run.STOPPED and each.stop_at is None}
        self.wrong += [f"{each} waits for its end" for each in sorted(waiting & self.waited)]
        self.waited = waiting
        assert self.wrong == []


def harm(told: Controlled, world: HealingMemoryWorld, chance: random.Random) -> None:
    """Somebody dies, or is ill from now on, where others are left."""
    if len(there := told.serving()) > 2:
        id_ = chance.choice(there)[0]
        if chance.random() < 0.5:
            world.destroy(id_)
        else:
            world.memory.own[id_] = Behaviour(unhealthy_after=0)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_somebody_serves_and_the_group_comes_to_what_is_wanted(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    world = memory_world(tmp_path, ROLLING, heals=True)
    assert isinstance(world, HealingMemoryWorld)
    told = Controlled(world)
    told.deploy(GOOD)
    assert told.verdict() is Verdict.GOOD
    told.recorder = watched = Watched(told)
    told.restarted()
    good, fresh = GOOD, iter((BETTER, 6, NEVER_HEALTHY, 7, 8, 9))

    def for_a_while(most: int = 60) -> None:
        for _ in range(chance.randint(5, most)):
            wake = told.control.tick()
            watched.see()
            world.pause(wake)
            assert told.serving(), "somebody always does"

    for _ in range(8):
        match chance.choice(("harm", "deploy", "deploy", "scale", "refuse", "crash")):
            case "harm":
                harm(told, world, chance)
            case "deploy" if (number := next(fresh, None)) is not None:
                told.deploy(number)
                while told.newest.ended is None:
                    for_a_while(15)
                    harm(told, world, chance)
                good = number if told.verdict() is Verdict.GOOD else good
            case "scale":
                watched.wanted = chance.randint(2, 5)
                told.control.scale(world.place.id, APP, "web", watched.wanted)
            case "refuse":
                with world.refusing():
                    for_a_while()
            case "crash":
                told.restarted()
        for_a_while()
    told.settle(lambda: [number for _, number in told.serving()] == [good] * watched.wanted)
