"""Deployments that leave groups alone in which nothing has changed: on the memory engine, from request to verdict."""

from pathlib import Path

import pytest

from homeport.engines.memory.behaviour import Behaviour
from homeport.model.action import Action, Drain, Inherit, Kill, Start, Stop, Terminate
from homeport.model.deployment import Phase, Verdict
from homeport.model.fleet import Target
from homeport.model.platform import Strategy
from homeport.testing.world import BETTER, GOOD, Controlled
from tests.memory_world import formation
from tests.unit.control.test_deployment import OTHER, fewest_serving, instances, launched, up

OLD = [("web-1", 1), ("web-2", 1)]
KEPT = [("web-1", 2), ("web-2", 2)]
CHANGED = "exec python3 worker.py --fast"


def told(world: Controlled, group: str, *kinds: type[Action]) -> list[Action]:
    return [
        each
        for each in world.recorder.actions
        if isinstance(each, kinds) and getattr(each, "instance", "").startswith(f"{group}-")
    ]


def begun(path: Path, strategy: Strategy = "replace", better: Behaviour | None = None) -> Controlled:
    """r1 is up, and a release is being deployed that changes the worker alone."""
    formations = {BETTER: formation(strategy=strategy, work=CHANGED)}
    world = up(path, formations, {BETTER: better or Behaviour()}, same_code=[BETTER])
    world.deploy(BETTER)
    return world


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
def test_only_the_group_that_changed_is_touched(tmp_path: Path, strategy: Strategy) -> None:
    world = begun(tmp_path, strategy)
    assert [(each.name, each.kept) for each in world.newest.started.groups] == [("web", True), ("worker", False)]
    assert fewest_serving(world) == 2
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == KEPT
    assert world.serving("worker") == [("worker-2", 2)]
    assert told(world, "web", Drain, Stop, Start, Kill, Terminate) == []


def test_what_is_killed_later_comes_back_with_the_new_release(tmp_path: Path) -> None:
    world = begun(tmp_path)
    assert world.verdict() is Verdict.GOOD
    world.world.destroy("web-1")
    world.settle(lambda: world.serving() == [("web-2", 2), ("web-3", 2)])


def test_the_way_back_leaves_it_alone_as_well(tmp_path: Path) -> None:
    world = begun(tmp_path, better=Behaviour(dies_after=0.4))
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    assert world.serving() == KEPT
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == OLD
    assert [number for _, number in world.serving("worker")] == [1]
    assert told(world, "web", Drain, Stop, Start, Kill, Terminate) == []
    assert len(told(world, "web", Inherit)) == 4


@pytest.mark.parametrize(("count", "end"), [(3, [*KEPT, ("web-3", 2)]), (1, KEPT[:1])])
@pytest.mark.parametrize("strategy", ["replace", "rolling"])
def test_of_another_number_only_the_difference_comes_or_goes(
    tmp_path: Path, strategy: Strategy, count: int, end: list[tuple[str, int]]
) -> None:
    formations = {GOOD: formation(web=2), BETTER: formation(web=count, strategy=strategy)}
    world = up(tmp_path, formations, same_code=[BETTER])
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    aside = [each.target for each in instances(world, "web", 1)]
    assert aside == ([Target.DRAINING] if count == 1 else []), "one too many is kept aside until the verdict"
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == end
    assert world.serving("worker") == [("worker-1", 2)]


def test_one_more_must_show_that_it_starts_before_traffic_moves(tmp_path: Path) -> None:
    formations = {BETTER: formation(web=3)}
    world = up(tmp_path, formations, {BETTER: Behaviour(healthy_after=None)}, same_code=[BETTER])
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == OLD
    assert told(world, "web", Inherit) == []


def test_a_restart_keeps_nothing(tmp_path: Path) -> None:
    world = up(tmp_path, same_code=[BETTER])
    world.deploy(BETTER, restart=True)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == [("web-3", 2), ("web-4", 2)]


def test_a_release_that_changes_nothing_is_good_without_a_launch(tmp_path: Path) -> None:
    world = up(tmp_path, same_code=[BETTER])
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    assert world.serving() == KEPT
    assert launched(world, "web", BETTER) == launched(world, "worker", BETTER) == []


def test_what_is_sick_is_not_kept(tmp_path: Path) -> None:
    world = up(tmp_path, same_code=[BETTER])
    world.world.memory.behaviours[GOOD] = Behaviour(unhealthy_after=0)  # type: ignore[attr-defined]
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == [("web-3", 2), ("web-4", 2)]


def test_a_kept_instance_that_dies_is_replaced_and_says_nothing_of_the_release(tmp_path: Path) -> None:
    world = begun(tmp_path)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    world.world.destroy("web-1")
    assert world.verdict() is Verdict.GOOD
    assert [number for _, number in world.serving()] == [2, 2]


@pytest.mark.parametrize("ticks", range(1, 40, 3))
def test_control_dies_at_any_tick_and_another_goes_on(tmp_path: Path, ticks: int) -> None:
    bad = ticks % 2 == 0
    world = begun(tmp_path, better=Behaviour(dies_after=0.4) if bad else None)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    assert world.verdict() is (Verdict.FAILED if bad else Verdict.GOOD)
    world.quiet()
    assert world.serving() == (OLD if bad else KEPT)
    assert told(world, "web", Drain, Stop, Start, Kill, Terminate) == []


def test_two_in_a_row_and_back(tmp_path: Path) -> None:
    formations = {BETTER: formation(work=CHANGED), OTHER: formation()}
    world = up(tmp_path, formations, same_code=[BETTER, OTHER])
    for number in (BETTER, OTHER, GOOD):
        world.deploy(number)
        assert world.verdict() is Verdict.GOOD
        world.quiet()
        assert world.serving() == [("web-1", number), ("web-2", number)]
    assert [id_ for id_, _ in world.serving("worker")] == ["worker-3"]
