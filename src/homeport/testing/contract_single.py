"""What an engine must do that leaves it to others to keep a group whole: it launches, starts, kills and ends what it is
told to, one by one. Beside `contract`.
"""

import pytest

from homeport.errors import Invalid, NotFound, Unavailable
from homeport.model.action import (
    AskHook,
    Drain,
    FailOpen,
    Inherit,
    Kill,
    Launch,
    PutInService,
    SetCapacity,
    SetShare,
    Start,
    Stop,
)
from homeport.model.asked import ZoneAsked
from homeport.model.canary import Share
from homeport.model.fleet import Check, Run, State, Target
from homeport.model.platform import Hook
from homeport.testing.step import end, find, healthy, launch, prepare, run, waited, when
from homeport.testing.world import APP, BETTER, DEAF, GOOD, NEVER_HEALTHY, World


class SingleActionContract:
    def test_instance_becomes_healthy_but_serves_only_when_told(self, world: World) -> None:
        seen = healthy(world)
        assert (seen.state, seen.target, seen.run) == (State.PENDING, Target.UNUSED, Run.RUNNING)
        assert seen.pid
        assert seen.port
        assert (seen.zone, seen.generation) == ("a", 1)
        run(world, PutInService(instance="web-1"))
        served = find(world.engine.observe(world.place.id), "web-1")
        assert (served.state, served.target) == (State.IN_SERVICE, Target.READY)
        assert served.in_service_at is not None

    def test_launching_twice_is_launching_once(self, world: World) -> None:
        first = healthy(world)
        run(world, Launch(app=APP, group="web", instance="web-1", zone="b", release=GOOD))
        again = find(world.engine.observe(world.place.id), "web-1")
        assert (again.pid, again.zone) == (first.pid, "a")

    def test_it_is_known_since_when_one_drains(self, world: World) -> None:
        healthy(world)
        run(world, PutInService(instance="web-1"))
        run(world, Drain(instance="web-1"))
        drained = when(world, "web-1", lambda each: each.in_flight == 0)
        assert (drained.target, drained.state) == (Target.DRAINING, State.IN_SERVICE)
        assert drained.drain_at is not None
        run(world, PutInService(instance="web-1"))
        back = find(world.engine.observe(world.place.id), "web-1")
        assert (back.target, back.drain_at) == (Target.READY, None)

    def test_next_generation_is_one_more(self, world: World) -> None:
        first = healthy(world)
        run(world, PutInService(instance="web-1"))
        prepare(world, BETTER)
        for generation in (2, 3):
            run(world, Stop(instance="web-1", next_release=BETTER))
            stopped = when(world, "web-1", lambda each: each.run is Run.STOPPED)
            assert (stopped.next_release, stopped.died) == (BETTER, False)
            assert stopped.state is (State.IN_SERVICE if generation == 2 else State.PENDING)
            run(world, Start(instance="web-1", release=BETTER))
            second = when(world, "web-1", lambda each: each.check is Check.HEALTHY)
            assert (second.release, second.generation, second.state) == (BETTER, generation, State.PENDING)
            assert second.next_release is None
            assert second.address == first.address

    def test_who_was_inherited_and_dies_is_seen(self, world: World) -> None:
        first = healthy(world)
        run(world, PutInService(instance="web-1"))
        with pytest.raises(NotFound):
            run(world, Inherit(instance="web-1", release=99))
        prepare(world, BETTER)
        for _ in range(2):
            run(world, Inherit(instance="web-1", release=BETTER))
            seen = when(world, "web-1", lambda each: each.check is Check.HEALTHY)
            assert (seen.release, seen.generation, seen.pid) == (BETTER, first.generation, first.pid)
            assert (seen.state, seen.target, seen.started_at) == (State.IN_SERVICE, Target.READY, first.started_at)
        world.destroy("web-1")
        assert when(world, "web-1", lambda each: each.run is Run.STOPPED).died

    def test_one_that_ignores_term_is_killed(self, world: World) -> None:
        healthy(world, number=DEAF)
        run(world, Stop(instance="web-1"))
        world.until(lambda seen: waited(seen, find(seen, "web-1").stop_at, 0.7))
        assert find(world.engine.observe(world.place.id), "web-1").run is Run.STOPPING
        run(world, Kill(instance="web-1"))
        seen = when(world, "web-1", lambda each: each.run is Run.STOPPED)
        assert (seen.killed, seen.died) == (True, False)

    def test_never_healthy(self, world: World) -> None:
        launch(world, NEVER_HEALTHY)
        when(world, "web-1", lambda each: each.run is Run.RUNNING)
        seen = world.until(lambda seen: waited(seen, find(seen, "web-1").started_at, 0.7))
        assert find(seen, "web-1").check is Check.INITIAL

    def test_what_runs_in_a_worker_is_known(self, world: World) -> None:
        seen = healthy(world, "worker-1")
        assert (seen.port, seen.target) == (None, Target.UNUSED)
        assert [(each.name, each.up) for each in seen.processes] == [("worker", True)]
        run(world, PutInService(instance="worker-1"))
        served = find(world.engine.observe(world.place.id), "worker-1")
        assert (served.state, served.target) == (State.IN_SERVICE, Target.UNUSED)

    def test_ordinals_are_not_used_again(self, world: World) -> None:
        healthy(world)
        end(world, "web-1")
        world.engine.begin_leave(world.place.id, APP)
        world.engine.forget_app(world.place.id, APP)
        assert world.engine.observe(world.place.id).last_ordinal["web"] == 1
        world.engine.close_environment(world.place.id)
        world.engine.open_environment(world.place)
        assert world.engine.observe(world.place.id).last_ordinal["web"] == 1

    def test_a_zone_that_failed_is_observed_until_it_is_restored(self, world: World) -> None:
        failed = ZoneAsked(zone="b", failure="kill", since_at=world.clock.now())
        world.engine.ask(world.place.id, failed)
        assert world.engine.asked(world.place.id).zones == (failed,)
        assert world.engine.observe(world.place.id).failed_zones == ("b",)
        world.engine.ask(world.place.id, ZoneAsked(zone="b", failure=None, since_at=world.clock.now()))
        assert world.engine.observe(world.place.id).failed_zones == ()

    def test_what_is_in_a_zone_that_is_killed_dies_and_nothing_is_launched_there(self, world: World) -> None:
        healthy(world)
        world.engine.ask(world.place.id, ZoneAsked(zone="a", failure="kill", since_at=world.clock.now()))
        dead = when(world, "web-1", lambda each: each.run is Run.STOPPED)
        assert (dead.died, dead.reason) == (True, "zone a failed")
        with pytest.raises(Unavailable):
            launch(world, id_="web-2")
        world.engine.ask(world.place.id, ZoneAsked(zone="a", failure=None, since_at=world.clock.now()))
        healthy(world, "web-2")

    def test_nobody_knows_what_is_in_a_frozen_zone_and_it_goes_on_afterwards(self, world: World) -> None:
        first = healthy(world)
        run(world, PutInService(instance="web-1"))
        world.engine.ask(world.place.id, ZoneAsked(zone="a", failure="freeze", since_at=world.clock.now()))
        seen = when(world, "web-1", lambda each: each.run is Run.UNKNOWN)
        assert (seen.check, seen.died) == (Check.UNKNOWN, False)
        world.engine.ask(world.place.id, ZoneAsked(zone="a", failure=None, since_at=world.clock.now()))
        again = when(world, "web-1", lambda each: each.check is Check.HEALTHY)
        assert (again.run, again.pid) == (Run.RUNNING, first.pid)

    def test_shares_are_kept(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, SetShare(app=APP, group="web", release=GOOD, percent=25))
        run(world, SetShare(app=APP, group="web", release=GOOD, percent=50))
        kept = world.engine.observe(world.place.id).shares[APP]
        assert kept == (Share(app=APP, group="web", release=GOOD, percent=50),)
        run(world, SetShare(app=APP, group="web", release=GOOD, percent=None))
        assert world.engine.observe(world.place.id).shares == {}

    def test_a_hook_is_asked_and_answers(self, world: World) -> None:
        healthy(world)
        asked = AskHook(instance="web-1", hook=Hook(command="echo warm"))
        run(world, asked)
        run(world, asked)
        waiting = when(world, "web-1", lambda each: each.hook is not None and each.hook.result is not None)
        assert waiting.hook is not None
        assert (waiting.state, waiting.hook.result) == (State.PENDING_WAIT, "CONTINUE")
        run(world, PutInService(instance="web-1"))
        assert find(world.engine.observe(world.place.id), "web-1").hook is None
        run(world, AskHook(instance="web-1", hook=Hook(command="true"), terminating=True))
        leaving = when(world, "web-1", lambda each: each.hook is not None and each.hook.result == "CONTINUE")
        assert leaving.state is State.TERMINATING_WAIT

    def test_fail_open_is_observed(self, world: World) -> None:
        run(world, FailOpen(app=APP, group="web", open=True))
        assert world.engine.observe(world.place.id).fail_open == ((APP, "web"),)
        run(world, FailOpen(app=APP, group="web", open=False))
        assert world.engine.observe(world.place.id).fail_open == ()

    def test_change_is_announced(self, world: World) -> None:
        heard: list[int] = []
        world.engine.on_change(lambda: heard.append(1))
        healthy(world)
        before = len(heard)
        world.destroy("web-1")
        world.until(lambda _: len(heard) > before)

    def test_it_keeps_no_capacity_by_itself(self, world: World) -> None:
        with pytest.raises(Invalid):
            run(world, SetCapacity(app=APP, group="web", count=1))
        assert world.engine.observe(world.place.id).capacity == ()
