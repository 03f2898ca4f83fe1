"""Deployments in stages: groups that come after others. On the memory engine; the rule itself is in test_deployment."""

from pathlib import Path

import pytest

from homeport.engines.memory.engine import Behaviour
from homeport.model.deployment import Staged, Verdict
from homeport.model.fleet import Check
from homeport.model.platform import Strategy
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.memory_world import formation
from tests.unit.control.test_deployment import fewest_serving, instances, launched, up

SLOW = Behaviour(healthy_after=1)
CHANGED = "exec python3 worker.py --fast"


def staged(world: Controlled) -> list[tuple[str, ...]]:
    journal = world.control.deployment(world.world.place.id, APP, world.newest.started.number)[0]
    return [each.groups for each in journal if isinstance(each, Staged)]


def in_order(path: Path, strategy: Strategy) -> Controlled:
    """A release is being deployed whose web comes after its worker."""
    world = up(path, {BETTER: formation(strategy=strategy, after=("worker",))}, {BETTER: SLOW})
    world.deploy(BETTER)
    return world


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
def test_nothing_of_a_later_stage_is_touched_before_the_earlier_is_up(tmp_path: Path, strategy: Strategy) -> None:
    world = in_order(tmp_path, strategy)
    world.settle(lambda: instances(world, "web", BETTER) or instances(world, "worker", BETTER))
    assert instances(world, "web", BETTER) == []
    assert len(world.serving()) == 2
    world.settle(lambda: instances(world, "web", BETTER))
    assert [each.check for each in instances(world, "worker", BETTER)] == [Check.HEALTHY]
    assert fewest_serving(world) >= (2 if strategy == "replace" else 1)
    assert world.verdict() is Verdict.GOOD
    assert staged(world) == [("web",)]


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
def test_what_fails_first_leaves_the_later_stages_alone(tmp_path: Path, strategy: Strategy) -> None:
    world = up(tmp_path, {NEVER_HEALTHY: formation(strategy=strategy, after=("worker",))})
    before = world.serving()
    world.deploy(NEVER_HEALTHY)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert world.serving() == before
    assert launched(world, "web", NEVER_HEALTHY) == []
    assert staged(world) == []


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
def test_a_group_that_stays_as_it_is_has_no_stage(tmp_path: Path, strategy: Strategy) -> None:
    formations = {BETTER: formation(strategy=strategy, after=("worker",), work=CHANGED), GOOD: formation()}
    world = up(tmp_path, formations, same_code=[BETTER])
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == [("web-1", BETTER), ("web-2", BETTER)]
    assert staged(world) == []


@pytest.mark.parametrize("strategy", ["replace", "rolling"])
@pytest.mark.parametrize("ticks", range(2, 30, 5))
def test_control_dies_at_any_tick_and_another_goes_on(tmp_path: Path, ticks: int, strategy: Strategy) -> None:
    world = in_order(tmp_path, strategy)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [number for _, number in world.serving()] == [BETTER, BETTER]
    assert staged(world) == [("web",)]
