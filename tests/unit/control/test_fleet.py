"""What people ask of a fleet, from their word to what becomes of it. Engine: memory."""

from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.control.fleet import Fleets
from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.engine import MemoryEngine
from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.asked import GroupAsked, StandbyAsked, Suspendable
from homeport.model.deployment import Verdict
from homeport.model.fleet import State
from homeport.testing.world import APP, BETTER, GOOD, Controlled
from tests.memory_world import memory_world

WEB = (APP, "web")


class Town:
    """An environment that is up, and what may be asked of it."""

    def __init__(self, path: Path) -> None:
        self.told = Controlled(memory_world(path))
        self.told.deploy(GOOD)
        assert self.told.verdict() is Verdict.GOOD
        self.where = self.told.world.place.id
        self.engine = self.told.world.engine
        self.fleets = Fleets(self.told.control)

    def asked(self) -> GroupAsked:
        return self.engine.asked(self.where).of(*WEB)

    def states(self) -> dict[str, State]:
        seen = self.engine.observe(self.where).instances
        return {each.id: each.state for each in seen if each.group == "web" and each.state is not State.TERMINATED}

    def notes(self) -> tuple[str, ...]:
        return self.told.control.environments[self.where].care[WEB].notes


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def test_standby_with_and_without_a_deputy(town: Town) -> None:
    fleets = town.fleets
    assert fleets.enter_standby(town.where, "web-1", decrement=False, by="ada")
    assert not fleets.enter_standby(town.where, "web-1", decrement=False, by="ada"), "a second time is none"
    town.told.settle(lambda: town.states().get("web-1") is State.STANDBY and len(town.told.serving()) == 2)
    assert fleets.enter_standby(town.where, "web-2", decrement=True, by="ada")
    town.told.settle(lambda: town.states()["web-2"] is State.STANDBY)
    town.told.settle(lambda: len(town.told.serving()) == 1)
    with pytest.raises(Invalid, match="would want 0 instances"):
        fleets.enter_standby(town.where, town.told.serving()[0][0], decrement=True, by="ada")
    with pytest.raises(Conflict, match="isn't on standby"):
        fleets.exit_standby(town.where, town.told.serving()[0][0], by="ada")
    for each in ("web-1", "web-2"):
        fleets.exit_standby(town.where, each, by="ada")
    town.told.settle(lambda: town.states() == {"web-1": State.IN_SERVICE, "web-2": State.IN_SERVICE})
    assert (town.asked().desired, town.asked().standby) == (2, ())
    with pytest.raises(NotFound, match=r"no instance 'web-11' in .*, did you mean"):
        fleets.enter_standby(town.where, "web-11", decrement=False, by="ada")


def test_nothing_is_deployed_while_launch_is_suspended(town: Town) -> None:
    town.fleets.suspend(town.where, [WEB], [Suspendable.LAUNCH, Suspendable.TERMINATE], by="ada")
    assert town.asked().suspended == (Suspendable.LAUNCH, Suspendable.TERMINATE)
    with pytest.raises(Conflict) as refused:
        town.told.deploy(BETTER)
    assert refused.value.hint == "homeport fleet resume Launch plain/web"
    town.told.world.destroy("web-1")
    town.told.settle(lambda: town.notes() == ("1 of r1 missing: Launch is suspended",))
    town.fleets.resume(town.where, [WEB], Suspendable, by="ada")
    town.told.settle(lambda: len(town.told.serving()) == 2)
    town.told.deploy(BETTER)
    with pytest.raises(NotFound, match="has no group 'wep'"):
        town.fleets.suspend(town.where, [WEB, (APP, "wep")], [Suspendable.LAUNCH], by="ada")
    assert town.asked().suspended == ()


def test_a_cycle_is_over_when_everybody_is_new(town: Town) -> None:
    before = town.states().keys()
    town.fleets.cycle(town.where, WEB, max_age_seconds=0, batch=1, by="ada")
    with pytest.raises(Conflict, match="is being cycled already: ada"):
        town.fleets.cycle(town.where, WEB, max_age_seconds=0, batch=1, by="eve")
    town.told.settle(lambda: town.asked().cycle is None)
    town.told.quiet()
    assert before.isdisjoint(town.states())
    assert len(town.told.serving()) == 2
    assert "the cycle that ada asked for is done" in [each.message for each in town.engine.events(town.where)]
    assert not town.fleets.cancel_cycle(town.where, WEB, by="ada")
    town.fleets.cycle(town.where, WEB, max_age_seconds=timedelta(days=1).total_seconds(), batch=1, by="ada")
    town.told.settle(lambda: town.asked().cycle is None)


def test_a_cycle_stops_at_the_first_that_fails(town: Town) -> None:
    assert isinstance(town.engine, MemoryEngine)
    town.engine.behaviours[GOOD] = Behaviour(healthy_after=None)
    before = town.states().keys()
    town.fleets.cycle(town.where, WEB, max_age_seconds=0, batch=1, by="ada")
    care = town.told.control.environments[town.where].care
    town.told.settle(lambda: "failed: silent" in care[WEB].cycle_stopped)
    assert town.states().keys() >= before
    assert town.asked().cycle is not None
    assert town.fleets.cancel_cycle(town.where, WEB, by="ada")
    town.told.settle(lambda: not care[WEB].cycle_stopped)


def test_zones_fail_but_not_the_last_and_going_down_needs_none(town: Town) -> None:
    for each in "ab":
        assert town.fleets.fail_zone(town.where, each, "freeze", by="ada")
    assert not town.fleets.fail_zone(town.where, "a", "freeze", by="ada")
    with pytest.raises(Conflict, match="has failed already"):
        town.fleets.fail_zone(town.where, "a", "kill", by="ada")
    with pytest.raises(Conflict, match="nothing would be left"):
        town.fleets.fail_zone(town.where, "c", "kill", by="ada")
    town.told.settle(lambda: len(town.told.serving()) >= 2)
    town.told.control.down(town.where)
    town.told.settle(lambda: not town.told.control.environments)


def test_a_reset_forgets_what_has_failed(town: Town) -> None:
    town.fleets.reset_breakers(town.where, [WEB], by="ada")
    assert town.asked().breaker_reset_at == town.told.world.clock.now()
    assert town.asked().desired is None


def test_more_than_the_machine_has_is_refused(town: Town) -> None:
    assert isinstance(town.engine, MemoryEngine)
    town.engine.memory = 1_000_000_000
    app = town.told.control.environments[town.where].app(APP)
    groups = tuple(replace(each, memory_bytes=400_000_000) for each in app.resolve(GOOD)[GOOD].groups)
    app.resolved[GOOD] = replace(app.resolved[GOOD], groups=groups)
    with pytest.raises(Invalid, match="that this machine has"):
        town.told.control.scale(town.where, APP, "web", 3)
    assert town.asked().desired is None


def test_words_are_checked_before_they_are_kept(town: Town) -> None:
    ask = StandbyAsked(instance="web-9")
    town.engine.ask(town.where, GroupAsked(app=APP, group="web", standby=(ask,)))
    town.told.settle(lambda: town.asked().nothing)  # who has ended isn't on standby
    with pytest.raises(Invalid, match="batch is 0"):
        town.fleets.cycle(town.where, WEB, max_age_seconds=0, batch=0, by="ada")
    with pytest.raises(NotFound, match="no zone 'd'"):
        town.fleets.fail_zone(town.where, "d", "kill", by="ada")
    assert town.engine.asked(town.where).zones == ()
