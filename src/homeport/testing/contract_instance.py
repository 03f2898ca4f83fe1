"""What every engine must do of an instance's life: part of `contract`."""

import pytest

from homeport.errors import NotFound
from homeport.model.action import Drain, EnterStandby, Inherit, PutInService
from homeport.model.fleet import Check, Run, State, Target
from homeport.testing.step import (
    GONE,
    bring,
    capacity,
    end,
    find,
    is_well,
    living,
    prepare,
    run,
    serves,
    serving,
    state,
    turn,
    waited,
    when,
)
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, World


class InstanceContract:
    def test_one_comes_up_and_serves(self, world: World) -> None:
        one = serving(world)
        assert (one.app, one.group, one.release, one.next_release) == (APP, "web", GOOD, None)
        assert (one.died, one.launched, one.drain_at, one.stop_at, one.ended_at) == (False, True, None, None, None)
        assert one.zone
        assert one.address
        assert one.port
        assert one.started_at is not None
        assert one.in_service_at is not None
        assert one.created_at <= one.started_at

    def test_drain_and_back(self, world: World) -> None:
        """A drained one carries nothing any more, and stays in service."""
        one = serving(world).id
        for _ in range(2):
            run(world, Drain(instance=one))
        drained = when(world, one, lambda each: each.in_flight == 0)
        assert (drained.state, drained.run) == (State.IN_SERVICE, Run.RUNNING)
        assert drained.target is not Target.READY
        run(world, PutInService(instance=one))
        assert when(world, one, serves).drain_at is None

    def test_next_generation_in_place_again_and_again(self, world: World) -> None:
        first = serving(world)
        for number in (BETTER, GOOD):
            turn(world, first.id, number)
            brought = when(world, first.id, lambda each, number=number: each.release == number and is_well(each))  # type: ignore[misc]
            assert (brought.address, brought.died) == (first.address, False)
            assert brought.next_release is None
            assert brought.started_at is not None
            assert first.started_at is not None
            assert brought.started_at > first.started_at
            run(world, PutInService(instance=first.id))
            assert when(world, first.id, serves).created_at == first.created_at

    def test_inherited_by_a_release_it_runs_on(self, world: World) -> None:
        first = serving(world)
        with pytest.raises(NotFound):
            run(world, Inherit(instance=first.id, release=99))
        for number in (BETTER, BETTER, GOOD):
            prepare(world, number)
            run(world, Inherit(instance=first.id, release=number))
            seen = when(world, first.id, lambda each, number=number: each.release == number and serves(each))  # type: ignore[misc]
            assert (seen.generation, seen.pid, seen.next_release) == (first.generation, first.pid, None)
            assert seen.started_at == first.started_at

    def test_standby_and_back(self, world: World) -> None:
        one = serving(world).id
        run(world, EnterStandby(instance=one))
        aside = when(world, one, lambda each: each.state is State.STANDBY and each.target is Target.UNUSED)
        assert aside.run is Run.RUNNING
        seen = world.engine.observe(world.place.id)
        assert (len(living(seen)), capacity(seen, "web") or 0) == (1, 0), "nobody comes in his place"
        run(world, PutInService(instance=one))
        when(world, one, serves)

    def test_one_that_dies_is_seen(self, world: World) -> None:
        one = serving(world).id
        world.destroy(one)
        assert when(world, one, lambda each: each.run is Run.STOPPED).died

    def test_one_that_is_ended_ends(self, world: World) -> None:
        one = serving(world).id
        ended = end(world, one)
        assert (ended is None) is world.engine.heals, "AWS forgets at once who has ended; the others remember him"
        if ended is not None:
            assert (ended.died, ended.run, ended.target) == (False, Run.STOPPED, Target.UNUSED)
            assert ended.ended_at is not None
        seen = world.engine.observe(world.place.id)
        assert (living(seen), capacity(seen, "web") or 0) == ([], 0), "nobody comes in his place"

    def test_one_that_never_gets_healthy_never_serves(self, world: World) -> None:
        one = bring(world, NEVER_HEALTHY)
        created_at = find(world.engine.observe(world.place.id), one).created_at
        seen = world.until(lambda seen: waited(seen, created_at, 1.5))
        if state(seen, one) not in GONE:  # nobody has given it up yet
            each = find(seen, one)
            assert (each.check, each.target, each.in_service_at) == (Check.INITIAL, Target.UNUSED, None)

    def test_worker_is_healthy_when_it_has_stayed_up(self, world: World) -> None:
        seen = serving(world, group="worker")
        assert (seen.port, seen.target, seen.check) == (None, Target.UNUSED, Check.HEALTHY)
        assert seen.in_flight in (None, 0)

    def test_unknown_instance(self, world: World) -> None:
        with pytest.raises(NotFound):
            run(world, Drain(instance="web-9"))
