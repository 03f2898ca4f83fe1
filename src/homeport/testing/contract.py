"""What every engine must do. A test module gives the fixture `world` and inherits `EngineContract`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from homeport.errors import Conflict, NotFound, Unavailable
from homeport.model.action import (
    Action,
    AskHook,
    Drain,
    EndTask,
    EnterStandby,
    FailOpen,
    Inherit,
    Kill,
    Launch,
    Prepare,
    PutInService,
    RunTask,
    SetLaunch,
    SetRoutes,
    SetShare,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, Suspendable, ZoneAsked
from homeport.model.canary import Share
from homeport.model.event import Event
from homeport.model.fleet import Check, Instance, Observation, Run, State, Target
from homeport.model.platform import Hook
from homeport.testing.world import APP, BAD_TASK, BETTER, DEAF, GOOD, NEVER_HEALTHY, World


def find(observed: Observation, id_: str) -> Instance:
    return next(each for each in observed.instances if each.id == id_)


def run(world: World, action: Action, fence: int = 1) -> None:
    world.engine.execute(world.place.id, action, fence=fence)


def when(world: World, id_: str, ready: Callable[[Instance], bool]) -> Instance:
    return find(world.until(lambda seen: ready(find(seen, id_))), id_)


def prepare(world: World, number: int) -> None:
    run(world, Prepare(app=APP, release=number))
    world.until(lambda seen: any(each.release == number and each.ready for each in seen.prepared))


def launch(world: World, number: int = GOOD, id_: str = "web-1", zone: str = "a") -> None:
    prepare(world, number)
    run(world, Launch(app=APP, group=id_.rpartition("-")[0], instance=id_, zone=zone, release=number))


def healthy(world: World, id_: str = "web-1", number: int = GOOD) -> Instance:
    launch(world, number, id_)
    return when(world, id_, lambda each: each.check is Check.HEALTHY)


def end(world: World, id_: str) -> Instance:
    run(world, Stop(instance=id_))
    when(world, id_, lambda each: each.run is Run.STOPPED)
    run(world, Terminate(instance=id_))
    return when(world, id_, lambda each: each.state is State.TERMINATED)


def waited(observed: Observation, since_at: datetime | None, seconds: float) -> bool:
    return since_at is not None and observed.at - since_at > timedelta(seconds=seconds)


class EngineContract:
    """Inherit, and give a fixture `world`."""

    def test_preparing_an_unknown_release_fails_and_says_so(self, world: World) -> None:
        with pytest.raises((NotFound, KeyError)):
            world.release(99)
        assert not any(each.ready for each in world.engine.observe(world.place.id).prepared)

    def test_prepared_release_is_remembered(self, world: World) -> None:
        assert world.engine.release(world.place.id, APP, GOOD) is None
        prepare(world, GOOD)
        assert world.engine.release(world.place.id, APP, GOOD) == world.release(GOOD)

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

    def test_drain_and_back(self, world: World) -> None:
        healthy(world)
        run(world, PutInService(instance="web-1"))
        run(world, Drain(instance="web-1"))
        drained = when(world, "web-1", lambda each: each.in_flight == 0)
        assert (drained.target, drained.state) == (Target.DRAINING, State.IN_SERVICE)
        assert drained.drain_at is not None
        run(world, PutInService(instance="web-1"))
        back = find(world.engine.observe(world.place.id), "web-1")
        assert (back.target, back.drain_at) == (Target.READY, None)

    def test_end(self, world: World) -> None:
        healthy(world)
        ended = end(world, "web-1")
        assert (ended.died, ended.run, ended.target) == (False, Run.STOPPED, Target.UNUSED)
        assert ended.ended_at is not None

    def test_next_generation_in_place(self, world: World) -> None:
        first = healthy(world)
        run(world, PutInService(instance="web-1"))
        prepare(world, BETTER)
        run(world, Stop(instance="web-1", next_release=BETTER))
        stopped = when(world, "web-1", lambda each: each.run is Run.STOPPED)
        assert (stopped.next_release, stopped.died, stopped.state) == (BETTER, False, State.IN_SERVICE)
        run(world, Start(instance="web-1", release=BETTER))
        second = when(world, "web-1", lambda each: each.check is Check.HEALTHY)
        assert (second.release, second.generation, second.state) == (BETTER, 2, State.PENDING)
        assert second.next_release is None
        assert second.address == first.address

    def test_inherited_by_a_release_it_runs_on(self, world: World) -> None:
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

    def test_boot_after_stop_again_and_again(self, world: World) -> None:
        healthy(world)
        for generation in (2, 3):
            run(world, Stop(instance="web-1", next_release=GOOD))
            when(world, "web-1", lambda each: each.run is Run.STOPPED)
            run(world, Start(instance="web-1", release=GOOD))
            seen = when(world, "web-1", lambda each: each.check is Check.HEALTHY)
            assert seen.generation == generation

    def test_one_that_ignores_term_is_killed(self, world: World) -> None:
        healthy(world, number=DEAF)
        run(world, Stop(instance="web-1"))
        world.until(lambda seen: waited(seen, find(seen, "web-1").stop_at, 0.7))
        assert find(world.engine.observe(world.place.id), "web-1").run is Run.STOPPING
        run(world, Kill(instance="web-1"))
        seen = when(world, "web-1", lambda each: each.run is Run.STOPPED)
        assert (seen.killed, seen.died) == (True, False)

    def test_one_that_dies_is_seen(self, world: World) -> None:
        healthy(world)
        run(world, PutInService(instance="web-1"))
        world.destroy("web-1")
        assert when(world, "web-1", lambda each: each.run is Run.STOPPED).died

    def test_never_healthy(self, world: World) -> None:
        launch(world, NEVER_HEALTHY)
        when(world, "web-1", lambda each: each.run is Run.RUNNING)
        seen = world.until(lambda seen: waited(seen, find(seen, "web-1").started_at, 0.7))
        assert find(seen, "web-1").check is Check.INITIAL

    def test_worker_is_healthy_when_it_has_stayed_up(self, world: World) -> None:
        seen = healthy(world, "worker-1")
        assert (seen.port, seen.target) == (None, Target.UNUSED)
        assert [(each.name, each.up) for each in seen.processes] == [("worker", True)]
        run(world, PutInService(instance="worker-1"))
        served = find(world.engine.observe(world.place.id), "worker-1")
        assert (served.state, served.target) == (State.IN_SERVICE, Target.UNUSED)

    def test_task_runs_once(self, world: World) -> None:
        prepare(world, GOOD)
        task = RunTask(app=APP, task="t-1", release=GOOD, command="true")
        run(world, task)
        run(world, task)
        seen = world.until(lambda each: [t.exit_code for t in each.tasks] == [0])
        assert len(seen.tasks) == 1

    def test_task_that_fails(self, world: World) -> None:
        prepare(world, BAD_TASK)
        command = world.release(BAD_TASK).resolved.release_task
        assert command is not None
        run(world, RunTask(app=APP, task="t-2", release=BAD_TASK, command=command))
        world.until(lambda each: [t.exit_code for t in each.tasks] == [7])
        for by_force in (False, True):
            run(world, EndTask(app=APP, task="t-2", by_force=by_force))
        (ended,) = world.engine.observe(world.place.id).tasks
        assert (ended.exit_code, ended.interrupted) == (7, False)

    def test_a_task_ends_before_its_time(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, EndTask(app=APP, task="t-3"))
        run(world, RunTask(app=APP, task="t-3", release=GOOD, command="trap '' TERM; sleep 300 & wait; sleep 300"))
        run(world, EndTask(app=APP, task="t-3"))
        (told,) = world.engine.observe(world.place.id).tasks
        assert told.stop_at is not None
        run(world, EndTask(app=APP, task="t-3"))

        def killed(seen: Observation) -> bool:
            run(world, EndTask(app=APP, task="t-3", by_force=True))
            return seen.tasks[0].ended

        (ended,) = world.until(killed).tasks
        assert (ended.interrupted, ended.stop_at) == (True, told.stop_at)
        run(world, EndTask(app=APP, task="t-3", by_force=True))

    def test_pointers(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, SetLaunch(app=APP, release=GOOD))
        run(world, SetRoutes(app=APP, release=GOOD))
        seen = world.engine.observe(world.place.id)
        assert (seen.launch, seen.routes) == ({APP: GOOD}, {APP: GOOD})
        run(world, SetLaunch(app=APP, release=None))
        assert world.engine.observe(world.place.id).launch == {}

    def test_lower_fence_is_refused(self, world: World) -> None:
        prepare(world, GOOD)
        run(world, SetLaunch(app=APP, release=GOOD), fence=7)
        with pytest.raises(Conflict):
            run(world, SetLaunch(app=APP, release=None), fence=6)
        assert world.engine.observe(world.place.id).launch == {APP: GOOD}

    def test_an_app_is_known_before_anything_is_done_to_it(self, world: World) -> None:
        world.engine.admit(world.place.id, APP, fence=7)
        assert world.engine.observe(world.place.id).fence == {APP: 7}
        with pytest.raises(Conflict):
            world.engine.admit(world.place.id, APP, fence=6)
        with pytest.raises(Conflict):
            prepare(world, GOOD)

    def test_unknown_instance(self, world: World) -> None:
        with pytest.raises(NotFound):
            run(world, Drain(instance="web-9"))

    def test_ordinals_are_not_used_again(self, world: World) -> None:
        healthy(world)
        end(world, "web-1")
        assert world.engine.observe(world.place.id).last_ordinal["web"] == 1
        world.engine.close_environment(world.place.id)
        world.engine.open_environment(world.place)
        assert world.engine.observe(world.place.id).last_ordinal["web"] == 1

    def test_what_is_asked_of_a_group_is_kept(self, world: World) -> None:
        said = GroupAsked(app=APP, group="web", desired=4, suspended=(Suspendable.LAUNCH,))
        world.engine.ask(world.place.id, said)
        assert world.engine.asked(world.place.id).of(APP, "web") == said
        world.engine.ask(world.place.id, GroupAsked(app=APP, group="web"))
        assert world.engine.asked(world.place.id) == Asked()

    def test_maintenance_is_kept_until_it_is_over(self, world: World) -> None:
        prepare(world, GOOD)
        said = MaintenanceAsked(app="", on=True, since_at=world.clock.now(), by="ada", page="<p>ours")
        for each in (said, replace(said, allow=("10.0.0.0/8",)), replace(said, app=APP)):
            world.engine.ask(world.place.id, each)
        assert set(world.engine.asked(world.place.id).maintenance) == {
            replace(said, allow=("10.0.0.0/8",)),
            replace(said, app=APP),
        }
        for app in ("", APP, APP):
            world.engine.ask(world.place.id, replace(said, app=app, on=False))
        assert world.engine.asked(world.place.id) == Asked()

    def test_files_of_a_release_can_be_read(self, world: World) -> None:
        prepare(world, GOOD)
        assert world.engine.file(world.place.id, APP, GOOD, "web.py")
        with pytest.raises((NotFound, Unavailable)):
            world.engine.file(world.place.id, APP, 99, "web.py")

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

    def test_standby_and_back(self, world: World) -> None:
        healthy(world)
        run(world, PutInService(instance="web-1"))
        run(world, EnterStandby(instance="web-1"))
        aside = when(world, "web-1", lambda each: each.state is State.STANDBY)
        assert (aside.target, aside.run) == (Target.UNUSED, Run.RUNNING)
        run(world, PutInService(instance="web-1"))
        assert when(world, "web-1", lambda each: each.state is State.IN_SERVICE).target is Target.READY

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

    def test_events(self, world: World) -> None:
        event = Event(
            at=datetime(2026, 1, 1, tzinfo=UTC), environment=world.place.id, kind="test", subject="web-1", message="it"
        )
        world.engine.record(event)
        world.engine.record(event)
        first, second = world.engine.events(world.place.id)
        assert world.engine.events(world.place.id, after=first.number) == [second]

    def test_an_app_leaves_once_its_instances_have_ended(self, world: World) -> None:
        healthy(world)
        run(world, SetLaunch(app=APP, release=GOOD))
        run(world, SetRoutes(app=APP, release=GOOD))
        world.engine.begin_leave(world.place.id, APP)
        seen = world.engine.observe(world.place.id)
        assert (seen.leaving, seen.routes, seen.launch) == (frozenset({APP}), {}, {APP: GOOD})
        with pytest.raises(Conflict):
            world.engine.forget_app(world.place.id, APP)
        end(world, "web-1")
        for _ in range(2):
            world.engine.forget_app(world.place.id, APP)
            seen = world.engine.observe(world.place.id)
            assert (seen.leaving, seen.fence, seen.launch, seen.instances, seen.prepared) == (
                frozenset(),
                {},
                {},
                (),
                (),
            )
        assert seen.last_ordinal["web"] >= 1
        with pytest.raises(NotFound):
            world.engine.begin_leave(world.place.id, APP)

    def test_closing_waits_for_instances(self, world: World) -> None:
        healthy(world)
        world.engine.begin_close(world.place.id)
        assert world.engine.observe(world.place.id).closing
        with pytest.raises(Conflict):
            world.engine.close_environment(world.place.id)
        end(world, "web-1")
        world.engine.close_environment(world.place.id)
        assert world.engine.environments() == {}
        with pytest.raises(NotFound):
            world.engine.observe(world.place.id)

    def test_change_is_announced(self, world: World) -> None:
        heard: list[int] = []
        world.engine.on_change(lambda: heard.append(1))
        healthy(world)
        before = len(heard)
        world.destroy("web-1")
        world.until(lambda _: len(heard) > before)
