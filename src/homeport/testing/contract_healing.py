"""What an engine must do whose groups keep themselves whole: they launch up to their capacity what their launch pointer
names, and replace what dies. Beside `contract`.
"""

from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from homeport.errors import Invalid
from homeport.model.action import (
    AskHook,
    FailOpen,
    Kill,
    Launch,
    SetCapacity,
    SetShare,
    Start,
)
from homeport.model.asked import Asked, GroupAsked, Suspendable, ZoneAsked
from homeport.model.fleet import Observation, Run, State, Target
from homeport.model.platform import Hook
from homeport.testing.step import bring, capacity, find, living, point, prepare, run, serves, serving, when
from homeport.testing.step import end as end_one
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, World


class HealingWorld(World, Protocol):
    def refusing(self) -> AbstractContextManager[None]:
        """Inside it whoever lends machines refuses every one."""
        ...


class HealingContract:
    def test_launches_that_are_suspended_come_once_they_are_resumed(self, world: HealingWorld) -> None:
        prepare(world, GOOD)
        point(world, GOOD, "web")
        world.engine.ask(world.place.id, GroupAsked(app=APP, group="web", suspended=(Suspendable.LAUNCH,)))
        before = world.engine.observe(world.place.id)
        run(world, SetCapacity(app=APP, group="web", count=(capacity(before, "web") or 0) + 1))
        assert len(living(world.engine.observe(world.place.id))) == len(living(before))
        world.engine.ask(world.place.id, GroupAsked(app=APP, group="web"))
        world.until(lambda seen: len(living(seen)) > len(living(before)))

    def test_capacity_brings_instances_up_and_down(self, world: HealingWorld) -> None:
        one = serving(world).id
        for _ in range(2):  # the number is what shall be, not what comes on top
            run(world, SetCapacity(app=APP, group="web", count=1))
            seen = world.engine.observe(world.place.id)
            assert (capacity(seen, "web"), [each.id for each in living(seen)]) == (1, [one])
        run(world, SetCapacity(app=APP, group="web", count=0, going=(one,)))
        leaving = when(world, one, lambda each: each.state is State.TERMINATING_WAIT)
        assert (leaving.run, leaving.target, leaving.died) == (Run.STOPPING, Target.UNUSED, False)
        end_one(world, one)
        assert capacity(world.engine.observe(world.place.id), "web") == 0

    def test_who_dies_is_replaced_by_one_that_runs_what_is_pointed_at(self, world: HealingWorld) -> None:
        one = serving(world).id
        point(world, BETTER, "web")
        world.destroy(one)

        def replaced(seen: Observation) -> bool:
            return [(each.release, each.id != one) for each in seen.instances if serves(each)] == [(BETTER, True)]

        assert capacity(world.until(replaced), "web") == 1

    def test_launches_that_are_refused_are_seen(self, world: HealingWorld) -> None:
        prepare(world, GOOD)
        point(world, GOOD, "web")
        with world.refusing():
            before = capacity(world.engine.observe(world.place.id), "web") or 0
            run(world, SetCapacity(app=APP, group="web", count=before + 1))
            seen = world.until(lambda seen: any(not each.launched for each in seen.instances))
            refused = next(each for each in seen.instances if not each.launched)
            assert (refused.group, refused.release, refused.state) == ("web", GOOD, State.TERMINATED)
            assert (refused.died, refused.target, bool(refused.reason)) == (False, Target.UNUSED, True)
            run(world, SetCapacity(app=APP, group="web", count=before))
        assert all(each.launched for each in world.engine.observe(world.place.id).instances)

    def test_one_that_never_gets_healthy_is_given_up_and_says_why(self, world: HealingWorld) -> None:
        one = bring(world, NEVER_HEALTHY)
        seen = world.until(lambda seen: any(each.id == one and each.died for each in seen.instances))
        given_up = find(seen, one)
        run(world, SetCapacity(app=APP, group="web", count=0))
        assert (given_up.release, given_up.state, given_up.launched) == (NEVER_HEALTHY, State.TERMINATED, True)
        assert given_up.reason
        assert given_up.in_service_at is None

    def test_a_next_generation_that_never_gets_healthy_leaves_the_one_before(self, world: HealingWorld) -> None:
        one = serving(world)
        prepare(world, NEVER_HEALTHY)
        run(world, Start(instance=one.id, release=NEVER_HEALTHY))
        turning = find(world.engine.observe(world.place.id), one.id)
        assert (turning.release, turning.next_release, turning.state) == (GOOD, NEVER_HEALTHY, State.IN_SERVICE)
        seen = world.until(lambda seen: any(each.release == NEVER_HEALTHY for each in seen.instances))
        failed = next(each for each in seen.instances if each.release == NEVER_HEALTHY)
        assert (failed.state, failed.died, bool(failed.reason)) == (State.TERMINATED, True, True)
        back = when(world, one.id, serves)
        assert (back.release, back.next_release) == (GOOD, None)

    def test_what_the_groups_do_nobody_else_does(self, world: HealingWorld) -> None:
        one = serving(world)
        prepare(world, GOOD)
        for action in (
            Launch(app=APP, group="web", instance="web-9", zone="a", release=GOOD),
            Kill(instance=one.id),
            AskHook(instance=one.id, hook=Hook(command="true")),
            FailOpen(app=APP, group="web", open=True),
            SetShare(app=APP, group="web", release=GOOD, percent=25),
        ):
            with pytest.raises(Invalid):
                run(world, action)
        with pytest.raises(Invalid):
            world.engine.ask(world.place.id, ZoneAsked(zone=one.zone, failure="kill", since_at=world.clock.now()))
        assert world.engine.asked(world.place.id) == Asked()
        seen = world.engine.observe(world.place.id)
        assert [each.id for each in living(seen)] == [one.id]
        assert (seen.failed_zones, seen.shares, seen.fail_open) == ((), {}, ())
        assert serves(find(seen, one.id))
