"""Deployments on the memory engine, from request to verdict. `tests/property/test_mutation.py` shows that every rule of
the deployment decider is needed by one of these."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from homeport.engines.memory.behaviour import Behaviour
from homeport.errors import Conflict, NotFound
from homeport.model.action import Drain, EndTask, Launch, RunTask, SetLaunch
from homeport.model.deployment import Phase, Reverting, Verdict
from homeport.model.fleet import Check, Instance, State, Target
from homeport.plan.task import GRACE
from homeport.testing.world import APP, BAD_TASK, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.memory_world import formation, memory_world

OTHER = 6


def controlled(path: Path, formations: Any = None, behaviours: Any = None, *, same_code: Any = ()) -> Controlled:
    return Controlled(memory_world(path, formations, behaviours, same_code=same_code))


def up(path: Path, formations: Any = None, behaviours: Any = None, *, same_code: Any = ()) -> Controlled:
    world = controlled(path, formations, behaviours, same_code=same_code)
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    return world


def rolling(number: int = BETTER, **fields: Any) -> dict[int, Any]:
    return {number: formation(strategy="rolling", web=4, **fields), GOOD: formation(web=4)}


def abort(world: Controlled) -> None:
    world.control.abort(world.world.place.id, APP, None, by="ada", why="wrong branch")


def instances(world: Controlled, group: str, release: int) -> list[Instance]:
    """That have not ended."""
    observed = world.world.engine.observe(world.world.place.id).instances
    return [
        each
        for each in observed
        if (each.group, each.release) == (group, release) and each.state is not State.TERMINATED
    ]


def launched(world: Controlled, group: str, release: int) -> list[Launch]:
    actions = world.recorder.actions
    return [each for each in actions if isinstance(each, Launch) and (each.group, each.release) == (group, release)]


def fewest_serving(world: Controlled) -> int:
    """The smallest number of instances that served at any tick, until the verdict."""
    seen: list[int] = []

    def ended() -> bool:
        seen.append(len(world.serving()))
        return world.newest.ended is not None

    world.settle(ended)
    return min(seen)


def check_first(path: Path) -> None:
    world = up(path)
    assert world.serving() == [("web-1", 1), ("web-2", 1)]
    assert world.serving("worker") == [("worker-1", 1)]
    observed = world.world.engine.observe(world.world.place.id)
    assert (observed.launch, observed.routes) == ({APP: 1}, {APP: 1})
    assert world.control.environments[world.world.place.id].app(APP).catalogue.good(APP, "staging")[-1] == 1


def check_replace(path: Path) -> None:
    world = up(path)
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == [("web-3", 2), ("web-4", 2)]
    assert world.serving("worker") == [("worker-2", 2)]


def check_old_serves_until_new_does(path: Path) -> None:
    world = up(path)
    world.deploy(BETTER)
    assert fewest_serving(world) == 2


def check_old_is_kept_for_the_bake(path: Path) -> None:
    world = up(path)
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    observed = world.world.engine.observe(world.world.place.id)
    assert [each.target for each in observed.instances if each.release == 1 and each.group == "web"] == [
        Target.DRAINING,
        Target.DRAINING,
    ]
    assert all(
        each.state is State.IN_SERVICE for each in observed.instances if each.release == 1 and each.group == "web"
    )


def check_never_healthy_goes_back(path: Path) -> None:
    world = up(path)
    world.deploy(NEVER_HEALTHY)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == [("web-1", 1), ("web-2", 1)]
    ended = world.newest.ended
    assert ended is not None
    assert "wasn't healthy within 10 s" in ended.evidence.summary
    assert world.world.engine.observe(world.world.place.id).launch == {APP: 1}
    assert world.control.environments[world.world.place.id].app(APP).catalogue.good(APP, "staging")[-1] == 1


def check_crash_in_the_bake_goes_back_at_once(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(dies_after=0.4)})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == [("web-1", 1), ("web-2", 1)], "those that were kept aside serve again"


def check_sick_in_the_bake_goes_back(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(unhealthy_after=0.5)})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    assert world.newest.ended is not None
    assert "unhealthy" in world.newest.ended.evidence.summary


def check_crash_loop_is_refused_soon(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(healthy_after=None, crash_loops=True)})
    world.deploy(BETTER)
    began_at = world.newest.started.at
    assert world.verdict() is Verdict.FAILED
    found = [each for each in world.control.deployment(world.world.place.id, APP, 2)[0] if isinstance(each, Reverting)]
    assert (found[0].at - began_at).total_seconds() < 5
    assert "keeps ending" in found[0].evidence.summary


def check_task_fails_before_anything_changes(path: Path) -> None:
    world = up(path)
    before = len(world.recorder.actions)
    world.deploy(BAD_TASK)
    assert world.verdict() is Verdict.FAILED
    kinds = {type(each) for each in world.recorder.actions[before:]}
    assert RunTask in kinds
    assert not kinds & {Launch, Drain, SetLaunch}


def check_bad_layers_are_refused_before_anything_changes(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(prepare_fails="layer has another digest")})
    before = len(world.recorder.actions)
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    assert not {type(each) for each in world.recorder.actions[before:]} & {Launch, Drain, RunTask}


def check_first_that_fails_leaves_a_specimen(path: Path) -> None:
    world = controlled(path)
    world.deploy(NEVER_HEALTHY)
    assert world.verdict() is Verdict.FAILED
    for _ in range(20):
        world.world.pause(world.control.tick())
    observed = world.world.engine.observe(world.world.place.id)
    left = [each.group for each in observed.instances if each.state is not State.TERMINATED]
    assert sorted(left) == ["web", "worker"]
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [number for _, number in world.serving()] == [1, 1]


def check_rolling_in_place(path: Path) -> None:
    world = up(path, rolling(max_unavailable=2))
    world.deploy(BETTER)
    assert fewest_serving(world) == 2
    assert world.verdict() is Verdict.GOOD
    assert world.serving() == [("web-1", 2), ("web-2", 2), ("web-3", 2), ("web-4", 2)]


def check_rolling_goes_back_in_place(path: Path) -> None:
    world = up(path, rolling(NEVER_HEALTHY))
    world.deploy(NEVER_HEALTHY)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == [("web-1", 1), ("web-2", 1), ("web-3", 1), ("web-4", 1)]
    moved = world.newest.moved
    assert moved == 1, "the second batch never began"


def check_both_fail_is_infrastructure(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(healthy_after=None)})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    world.world.memory.behaviours[GOOD] = Behaviour(healthy_after=None, dies_after=0.2)  # type: ignore[attr-defined]
    for id_ in ("web-1", "web-2"):
        world.world.destroy(id_)
    assert world.verdict() is Verdict.INFRASTRUCTURE


def check_never_back_is_infrastructure(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(healthy_after=None)})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    world.world.memory.behaviours[GOOD] = Behaviour(healthy_after=None)  # type: ignore[attr-defined]
    for id_ in ("web-1", "web-2"):
        world.world.destroy(id_)
    assert world.verdict() is Verdict.INFRASTRUCTURE


def check_a_dead_old_instance_is_replaced_meanwhile(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(healthy_after=3)})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    world.world.destroy("web-1")
    world.settle(lambda: len(world.serving()) == 2)
    assert [number for _, number in world.serving()] == [1, 1]
    assert world.verdict() is Verdict.GOOD


def check_groups_come_and_go(path: Path) -> None:
    world = up(path, {GOOD: formation(), BETTER: formation(worker=0), OTHER: formation(worker=2)})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving("worker") == []
    world.deploy(OTHER)
    assert world.verdict() is Verdict.GOOD
    assert len(world.serving("worker")) == 2


def check_order_of_groups(path: Path) -> None:
    slow = {GOOD: Behaviour(healthy_after=1), BETTER: Behaviour(healthy_after=1)}
    world = controlled(path, dict.fromkeys((GOOD, BETTER), formation(after=("worker",))), slow)
    for number in (GOOD, BETTER):
        world.deploy(number)
        world.settle(lambda number=number: launched(world, "web", number))
        workers = instances(world, "worker", number)
        assert [each.check for each in workers] == [Check.HEALTHY]
        assert world.verdict() is Verdict.GOOD


def check_scale_persists_over_the_file(path: Path) -> None:
    world = up(path)
    world.control.scale(world.world.place.id, APP, "web", 4)
    world.settle(lambda: len(world.serving()) == 4)
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert len(world.serving()) == 4
    assert world.world.engine.asked(world.world.place.id).sizes(APP) == {"web": 4}


def check_scale_holds_at_once_while_a_deployment_goes_on(path: Path) -> None:
    for number, count, verdict in ((BETTER, 1, Verdict.GOOD), (NEVER_HEALTHY, 4, Verdict.FAILED)):
        world = up(path / str(count))
        world.deploy(number)
        world.settle(lambda world=world: world.newest.phase is Phase.LAUNCH)
        world.control.scale(world.world.place.id, APP, "web", count)
        world.settle(lambda world=world, count=count: len(world.serving()) == count)
        assert world.newest.phase is Phase.LAUNCH, "by the release before"
        assert {release for _, release in world.serving()} == {GOOD}
        assert fewest_serving(world) == count
        assert world.verdict() is verdict
        world.settle(lambda world=world, count=count: len(world.serving()) == count)


def check_scale_on_the_way_back_holds_from_its_end(path: Path) -> None:
    world = up(path)
    world.deploy(NEVER_HEALTHY)
    world.settle(lambda: world.newest.phase is Phase.REVERTING)
    world.control.scale(world.world.place.id, APP, "web", 4)
    assert world.verdict() is Verdict.FAILED
    assert [each.old_count for each in world.newest.started.groups] == [2, 1]
    world.quiet()
    assert len(world.serving()) == 4


def with_a_task_that_hangs(path: Path, *, deaf: bool = False, timeout: timedelta | None = None) -> Controlled:
    behaviour = Behaviour(task_seconds=None, stops_after=None if deaf else 0.1)
    world = up(path, {BETTER: formation(timeout=timeout)}, {BETTER: behaviour})
    world.deploy(BETTER)
    world.settle(lambda: any(isinstance(each, RunTask) and each.release == BETTER for each in world.recorder.actions))
    return world


def ends(world: Controlled) -> list[bool]:
    """Whether by force: each time that the task was told to end."""
    return [each.by_force for each in world.recorder.actions if isinstance(each, EndTask)]


def check_aborted_while_its_task_runs(path: Path) -> None:
    world = with_a_task_that_hangs(path)
    before = len(world.recorder.actions)
    abort(world)
    assert world.verdict() is Verdict.ABORTED
    assert ends(world) == [False]
    assert world.newest.ended is not None
    assert "by ada: wrong branch; the release task was interrupted" in world.newest.ended.evidence.summary
    assert not {type(each) for each in world.recorder.actions[before:]} & {Launch, Drain, SetLaunch}


def check_a_task_that_is_deaf_is_killed(path: Path) -> None:
    world = with_a_task_that_hangs(path, deaf=True, timeout=timedelta(seconds=3))
    told_at = world.world.clock.monotonic() + 3
    assert world.verdict() is Verdict.FAILED
    assert ends(world) == [False, True]
    assert len([each for each in world.recorder.actions if isinstance(each, RunTask) and each.release == BETTER]) == 1
    assert world.world.clock.monotonic() >= told_at + GRACE.total_seconds()
    assert world.newest.ended is not None
    summary = "it took longer than 3 s; the release task was interrupted: what it did can't be known"
    assert world.newest.ended.evidence.summary == summary


def check_a_task_that_ends_well_when_it_is_told_to(path: Path) -> None:
    world = up(path, behaviours={BETTER: Behaviour(task_seconds=0.5, stops_after=None)})
    world.deploy(BETTER)
    world.settle(lambda: any(isinstance(each, RunTask) and each.release == BETTER for each in world.recorder.actions))
    abort(world)
    assert world.verdict() is Verdict.ABORTED
    assert world.newest.ended is not None
    assert world.newest.ended.evidence.summary.endswith("ended with 0: what it changed stays changed")


def check_a_task_ends_with_its_environment(path: Path) -> None:
    world = with_a_task_that_hangs(path, deaf=True)
    place = world.world.place.id
    world.control.down(place)
    world.settle(lambda: place not in world.control.environments)
    assert ends(world) == [False, True]


CHECKS: list[Callable[[Path], None]] = [each for name, each in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda each: each.__name__.removeprefix("check_"))
def test_deployment(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


PHASES: dict[str, Callable[[Controlled], bool]] = {
    "prepare": lambda world: world.newest.phase is Phase.PREPARE,
    "launch": lambda world: world.newest.phase is Phase.LAUNCH,
    "switched": lambda world: world.newest.switched_at is not None,
    "bake": lambda world: world.newest.phase is Phase.BAKE,
}


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
@pytest.mark.parametrize("moment", PHASES.values(), ids=PHASES)
def test_aborted_at_any_moment(tmp_path: Path, moment: Callable[[Controlled], bool], strategy: Any) -> None:
    world = up(tmp_path, {GOOD: formation(web=4), BETTER: formation(web=4, strategy=strategy)})
    ids = world.serving()
    world.deploy(BETTER)
    world.settle(lambda: moment(world))
    abort(world)
    assert fewest_serving(world) >= 3
    assert world.verdict() is Verdict.ABORTED
    assert world.newest.ended is not None
    assert world.newest.ended.evidence.summary == "by ada: wrong branch"
    (said,) = [
        each for each in world.control.deployment(world.world.place.id, APP, 2)[0] if isinstance(each, Reverting)
    ]
    assert (said.by, said.why) == ("ada", "wrong branch")
    world.quiet()
    assert world.serving() == ids, "by the fastest road"
    observed = world.world.engine.observe(world.world.place.id)
    assert (observed.launch, observed.routes) == ({APP: GOOD}, {APP: GOOD})
    with pytest.raises(Conflict, match="deployment 2 ended aborted"):
        abort(world)


def test_an_aborted_first_release_leaves_nothing(tmp_path: Path) -> None:
    world = controlled(tmp_path, behaviours={GOOD: Behaviour(healthy_after=None)})
    world.deploy(GOOD)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    with pytest.raises(Conflict, match="deployment 7"):
        world.control.abort(world.world.place.id, APP, 7, by="ada", why="x")
    abort(world)
    with pytest.raises(Conflict, match="goes back already"):
        abort(world)
    assert world.verdict() is Verdict.ABORTED
    world.quiet()
    assert instances(world, "web", GOOD) == []


def test_what_was_damaged_and_is_mended_can_be_deployed(tmp_path: Path) -> None:
    world = up(tmp_path, behaviours={BETTER: Behaviour(prepare_fails="layer has another digest")})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    world.world.memory.behaviours[BETTER] = Behaviour()  # type: ignore[attr-defined]
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD


def test_what_falls_due_after_a_look_wakes_the_loop(tmp_path: Path) -> None:
    """Else a release whose bake time ends between two questions of one tick bakes until something else happens."""
    world = memory_world(tmp_path)
    controlled = Controlled(world)
    controlled.deploy(GOOD)
    controlled.settle(lambda: controlled.newest.phase is Phase.BAKE)
    app = controlled.control.environments[world.place.id].app(APP)
    app.advance(world.engine.observe(world.place.id))
    assert controlled.newest.phase is Phase.BAKE
    world.virtual.advance(2)
    assert app.wake_in(world.clock.now()) == 0


def test_second_caller_is_told(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.deploy(BETTER)
    with pytest.raises(Conflict, match="deployment 2 of r2 by tester"):
        world.deploy(OTHER)
    assert world.verdict() is Verdict.GOOD


def test_what_runs_is_not_deployed_again(tmp_path: Path) -> None:
    world = up(tmp_path)
    with pytest.raises(Conflict, match="already runs"):
        world.deploy(GOOD)


def test_unknown_release(tmp_path: Path) -> None:
    world = up(tmp_path)
    with pytest.raises(NotFound):
        world.deploy(77)


def test_down(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.control.down(world.world.place.id)
    world.settle(lambda: world.world.place.id not in world.control.environments)
    assert world.world.engine.environments() == {}


def test_down_ends_a_deployment(tmp_path: Path) -> None:
    world = up(tmp_path, behaviours={BETTER: Behaviour(healthy_after=None)})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    app = world.control.environments[world.world.place.id].app(APP)
    world.control.down(world.world.place.id)
    world.settle(lambda: world.world.place.id not in world.control.environments)
    assert app.deployment is not None
    assert app.deployment.ended is not None
    assert app.deployment.ended.verdict is Verdict.ABORTED


@pytest.mark.parametrize("ticks", range(1, 40, 2))
def test_control_dies_at_any_tick_and_another_goes_on(tmp_path: Path, ticks: int) -> None:
    world = up(tmp_path, behaviours={BETTER: Behaviour(unhealthy_after=0.6) if ticks % 4 == 1 else Behaviour()})
    world.deploy(BETTER)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    expected = Verdict.FAILED if ticks % 4 == 1 else Verdict.GOOD
    assert world.verdict() is expected
    world.quiet()
    assert [number for _, number in world.serving()] == ([1, 1] if expected is Verdict.FAILED else [2, 2])
    tasks = [each for each in world.recorder.actions if isinstance(each, RunTask)]
    assert len({each.task for each in tasks}) == 2
