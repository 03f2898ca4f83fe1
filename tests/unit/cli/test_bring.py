"""A release is brought to where others died on the way, each in its own process. Engine: memory, without a daemon."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeport.cli import bring, follow
from homeport.cli.client import Client
from homeport.cli.code import Asked
from homeport.cli.follow import Outcome
from homeport.cli.output import Progress
from homeport.console.inside import Inside
from homeport.control.control import Control
from homeport.control.lease import Lease
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.pool import MemoryPools
from homeport.errors import Conflict
from homeport.model.action import SetCapacity
from homeport.system.clock import SystemClock
from tests.unit.console.test_api import World


class Clock(SystemClock):
    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Waiting(Progress):
    """`happens` when something is waited for, with how often that was said before."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        super().__init__(quiet=True)
        self.happens = happens
        self.said: list[str] = []

    def waiting(self, text: str) -> None:
        if text:
            self.happens(len(self.said))
            self.said.append(text)


class Another:
    """Who comes next, in a process of their own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = Clock()
        self.inside = Inside(Control(world.engine, world.store, self.clock, holder="another"), deque())
        self.waiting = Waiting(self._time_passes)

    def _time_passes(self, before: int) -> None:
        if not before:
            self.clock.ahead = 20.0

    def brings(self, number: int) -> Outcome:
        release = self.world.catalogue.get("shop", "staging", number)
        asked = Asked(directory=Path("/nowhere"))
        return bring.bring(Client(self.inside), release, asked, by="Bob", progress=self.waiting)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nobody drives but who asks."""
    return World(tmp_path)


@contextmanager
def another(world: World) -> Iterator[Another]:
    found = Another(world)
    try:
        yield found
    finally:
        found.inside.end()


def test_a_deployment_of_that_very_release_that_nobody_drives_is_seen_to_its_end(world: World) -> None:
    number = world.release()
    place = world.catalogue.get("shop", "staging", number).resolved.place
    begun = world.control.deploy(place, "shop", number, by="Ada", why="deploy")
    with another(world) as found:
        outcome = found.brings(number)
    assert (outcome.deployment, outcome.verdict, outcome.changed) == (begun, "good", True)
    assert "is being changed by Ada" in found.waiting.said[0]
    assert world.catalogue.good("shop", "staging") == [number]


def test_who_died_before_anything_began_is_waited_for(world: World) -> None:
    number = world.release()
    dead = Lease(world.store, "shop", "staging", holder="dead", clock=SystemClock())
    dead.take("Ada")
    with another(world) as found:
        assert found.brings(number).verdict == "good"
    assert "is being changed by Ada" in found.waiting.said[0]


def test_who_lives_is_not_waited_for_for_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.release()
    alive = Lease(world.store, "shop", "staging", holder="alive", clock=Clock())
    alive.take("Ada")
    with another(world) as found:
        monkeypatch.setattr(bring, "SystemClock", lambda: found.clock)
        # time passes by what happens here alone, and not by what a busy machine takes for it
        now = found.clock.monotonic()
        monkeypatch.setattr(found.clock, "monotonic", lambda: now + found.clock.ahead)
        alive.clock = found.clock

        def time_passes(_: int) -> None:
            found.clock.ahead += 8.0
            alive.beat()

        found.waiting.happens = time_passes
        with pytest.raises(Conflict, match="is being changed by Ada"):
            found.brings(number)
    assert len(found.waiting.said) == 3


def test_what_was_left_undone_at_its_end_is_done(world: World) -> None:
    number = world.release()
    with another(world) as found:
        found.brings(number)
    for key in world.store.list("shop/staging/current/"):
        world.store.delete(key)
    Lease(world.store, "shop", "staging", holder="dead", clock=SystemClock()).take("Ada")
    with another(world) as found:
        assert not found.brings(number).changed
    assert world.catalogue.good("shop", "staging") == [number]


def test_who_an_engine_that_heals_launched_too_many_is_seen_off(world: World) -> None:
    number = world.release()
    engine = world.engine = MemoryPools(
        SystemClock(), world.catalogue.get, pulls=lambda app, environment, group: number
    )
    with another(world) as found:
        found.brings(number)
        engine.own |= {each.id: Behaviour() for each in engine.observe("shop/staging").instances}
        engine.behaviours[number] = Behaviour(healthy_after=3600)  # it boots until it has been seen
        found.waiting.happens = lambda _: engine.behaviours.update({number: Behaviour()})
        engine.execute("shop/staging", SetCapacity(app="shop", group="web", count=3), fence=1)
        follow.see_off(Client(found.inside), "shop/staging", "shop", found.waiting)
        there = Client(found.inside).instances("shop/staging").instances
    assert found.waiting.said[-1] == "one more than wanted of web: it ends"
    assert [each.state for each in there].count("InService") == 2
