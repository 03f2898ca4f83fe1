"""What each strategy promises, on the memory engine: who serves meanwhile, how many are there, what the way back takes.
`tests/property/test_mutation.py` shows that every rule is needed by one of these."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import json
from msgspec.structs import replace

from homeport.engines.memory.behaviour import Behaviour
from homeport.errors import Conflict
from homeport.model.action import Launch, SetShare, Start
from homeport.model.deployment import Moved, Phase, Verdict
from homeport.model.fleet import State, Target
from homeport.model.platform import Deploy, Weight
from homeport.plan.release import release_key
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.memory_world import formation
from tests.unit.control.test_deployment import abort, instances, rolling, up

OTHER = 6


def extremes(world: Controlled) -> tuple[int, int]:
    """The fewest of web that served, and the most that were there, at any tick until the verdict."""
    serving, there = [], []

    def ended() -> bool:
        serving.append(len(world.serving()))
        seen = world.world.engine.observe(world.world.place.id).instances
        there.append(sum(1 for each in seen if each.group == "web" and each.state is not State.TERMINATED))
        return world.newest.ended is not None

    world.settle(ended)
    return min(serving), max(there)


def rolled(path: Path, count: int = 4, number: int = BETTER, **deploy: Any) -> Controlled:
    world = up(path, {GOOD: formation(web=count), number: formation(web=count, strategy="rolling", **deploy)})
    world.deploy(number)
    return world


def check_the_way_back_keeps_the_floor(path: Path) -> None:
    world = rolled(path)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    abort(world)
    assert extremes(world) == (3, 4)
    assert world.verdict() is Verdict.ABORTED


def check_pauses_before_traffic(path: Path) -> None:
    world = up(path)
    world.deploy(BETTER, pause_after="25%")
    world.settle(lambda: world.newest.waits_at_gate)
    for _ in range(40):
        world.world.pause(world.control.tick())
    assert [number for _, number in world.serving()] == [GOOD, GOOD]
    assert "homeport deployment continue 2" in world.control.deployment(world.world.place.id, APP, 2)[1]
    world.restarted()
    world.control.tick()
    assert world.newest.waits_at_gate
    assert world.control.go_on(world.world.place.id, APP, 2, by="ada") == 2
    assert world.verdict() is Verdict.GOOD


def check_pauses_between_batches(path: Path) -> None:
    world = rolled(path, pause_after="25%")
    world.settle(lambda: world.newest.waits_at_gate)
    for _ in range(20):
        world.world.pause(world.control.tick())
    assert sorted(number for _, number in world.serving()) == [GOOD, GOOD, GOOD, BETTER]
    world.control.go_on(world.world.place.id, APP, None, by="ada")
    assert world.verdict() is Verdict.GOOD
    with pytest.raises(Conflict):
        world.control.go_on(world.world.place.id, APP, None, by="ada")


def check_what_is_sick_at_the_gate_goes_back(path: Path) -> None:
    world = rolled(path, pause_after=2)
    world.settle(lambda: world.newest.waits_at_gate)
    world.world.destroy(next(id_ for id_, number in world.serving() if number == BETTER))
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert [number for _, number in world.serving()] == [GOOD] * 4


def check_ill_before_the_others_have_moved_goes_back(path: Path) -> None:
    world = up(path, rolling(), {BETTER: Behaviour(unhealthy_after=0.4)})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    assert world.newest.bake_until_at is None
    assert world.newest.ended is not None
    assert "became unhealthy once it was in service" in world.newest.ended.evidence.summary
    world.quiet()
    assert [number for _, number in world.serving()] == [GOOD] * 4


def check_takes_too_long(path: Path) -> None:
    slow = {BETTER: Behaviour(healthy_after=5)}
    world = up(path, {BETTER: formation(timeout=timedelta(seconds=2))}, slow)
    world.deploy(BETTER)
    assert world.verdict() is Verdict.FAILED
    assert world.newest.ended is not None
    assert world.newest.ended.evidence.summary == "it took longer than 2 s"
    world.quiet()
    assert [number for _, number in world.serving()] == [GOOD, GOOD]


STEPS = (Weight(percent=10, pause=timedelta(seconds=4)), Weight(percent=50, pause=timedelta(seconds=4)))


def canary(path: Path, better: Behaviour | None = None, *, load: float = 500, **deploy: Any) -> Controlled:
    """r2 over r1, tried on a share of the requests."""
    formations = {BETTER: formation(strategy="canary", **{"steps": STEPS, **deploy})}
    world = up(path, formations, {BETTER: better or Behaviour()})
    world.world.memory.load_per_second = load  # type: ignore[attr-defined]
    world.deploy(BETTER)
    return world


def shares(world: Controlled) -> list[int]:
    """Percentages that the engine was told."""
    return [each.percent or 0 for each in world.recorder.actions if isinstance(each, SetShare)]


def check_canary_goes_step_by_step(path: Path) -> None:
    world = canary(path)
    world.settle(lambda: world.newest.step == 1 and len(world.serving()) == 4)
    assert instances(world, "worker", BETTER) == [], "two versions of it would both work"
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert shares(world)[:2] == [10, 50]
    assert world.world.engine.observe(world.world.place.id).shares == {}
    assert [number for _, number in world.serving()] == [BETTER, BETTER]
    assert [number for _, number in world.serving("worker")] == [BETTER]


def check_canary_that_fails_more_goes_back(path: Path) -> None:
    world = canary(path, Behaviour(error_share=0.2))
    assert world.verdict() is Verdict.FAILED
    assert world.newest.ended is not None
    assert (
        "web with 10% of the requests: 20% of its requests fail, 0% of the old" in world.newest.ended.evidence.summary
    )
    assert world.newest.step == 1
    world.quiet()
    assert world.serving() == [("web-1", GOOD), ("web-2", GOOD)]
    assert world.world.engine.observe(world.world.place.id).shares == {}


def check_gate_of_a_canary(path: Path) -> None:
    world = canary(path, pause_after="10%")
    world.settle(lambda: world.newest.waits_at_gate)
    assert (world.newest.step, world.newest.judged) == (1, 1)
    for _ in range(20):
        world.world.pause(world.control.tick())
    assert world.newest.step == 1
    world.control.go_on(world.world.place.id, APP, None, by="ada")
    assert world.verdict() is Verdict.GOOD


CHECKS: list[Callable[[Path], None]] = [each for name, each in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda each: each.__name__.removeprefix("check_"))
def test_strategy(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


# --- rolling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deploy", "fewest", "most"),
    [
        ({"max_unavailable": 1}, 3, 4),
        ({"max_unavailable": "50%"}, 2, 4),
        ({"max_unavailable": 0, "max_surge": 1}, 4, 5),
        ({"max_unavailable": 0, "max_surge": "50%"}, 4, 6),
        ({"max_unavailable": 1, "max_surge": 1}, 3, 5),
        ({"batch": "zone"}, 2, 4),
    ],
)
def test_rolling_keeps_its_floor_and_its_ceiling(
    tmp_path: Path, deploy: dict[str, Any], fewest: int, most: int
) -> None:
    world = rolled(tmp_path, **deploy)
    assert extremes(world) == (fewest, most)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [number for _, number in world.serving()] == [BETTER] * 4


@pytest.mark.parametrize(
    ("count", "fewest", "meanwhile"),
    [(6, 5, [1, 1, 1, 1, 2, 2]), (3, 2, [1, 2, 2]), (2, 2, [2, 2]), (1, 1, [2])],
)
@pytest.mark.parametrize("aborted", [False, True])
def test_scaled_at_the_gate(tmp_path: Path, count: int, fewest: int, meanwhile: list[int], aborted: bool) -> None:
    """Those of the old release go first, and the floor is the new count's."""
    world = rolled(tmp_path, pause_after="50%")
    world.settle(lambda: world.newest.waits_at_gate)
    world.control.scale(world.world.place.id, APP, "web", count)
    seen: list[int] = []

    def there() -> bool:
        seen.append(len(world.serving()))
        return sorted(number for _, number in world.serving()) == meanwhile

    world.settle(there)
    assert min(seen) == min(4, count)
    assert world.newest.waits_at_gate
    if aborted:
        abort(world)
    else:
        world.control.go_on(world.world.place.id, APP, None, by="ada")
    least, _ = extremes(world)
    assert least >= (max(1, count - 1) if aborted else fewest)
    assert world.verdict() is (Verdict.ABORTED if aborted else Verdict.GOOD)
    world.quiet()
    assert [number for _, number in world.serving()] == [GOOD if aborted else BETTER] * count


def test_scaled_while_it_goes_zone_by_zone(tmp_path: Path) -> None:
    world = rolled(tmp_path, count=6, batch="zone", pause_after="30%")
    world.settle(lambda: world.newest.waits_at_gate)
    world.control.scale(world.world.place.id, APP, "web", 4)
    world.settle(lambda: sorted(number for _, number in world.serving()) == [1, 1, 2, 2])
    assert world.newest.started.groups[0].batches == (2, 3, 4)
    world.control.go_on(world.world.place.id, APP, None, by="ada")
    assert extremes(world)[0] == 3
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [number for _, number in world.serving()] == [BETTER] * 4


def test_what_is_kept_aside_ends_also_where_its_time_is_over_while_it_is_decided(tmp_path: Path) -> None:
    better = formation(strategy="blue-green", keep_old=timedelta(seconds=20))
    world = up(tmp_path, {BETTER: better})
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    app, decided_at = world.control.environments[world.world.place.id].app(APP), world.world.clock.now()
    world.world.pause(0.01)
    assert 19 < (app.wake_in(decided_at) or 0) < 20
    world.world.virtual.advance(20)  # type: ignore[attr-defined]
    assert app.wake_in(decided_at) == 0
    assert app.wake_in(world.world.clock.now()) is None


@pytest.mark.parametrize(("said", "healthy"), [(3, 6), ("60%", 4), ("50%", 5), (1, 8)])
@pytest.mark.parametrize("number", [BETTER, NEVER_HEALTHY])
def test_nine_hosts_as_codedeploy_documents_them(tmp_path: Path, said: Any, healthy: int, number: int) -> None:
    """HOST_COUNT 6, FLEET_PERCENT 40, HalfAtATime, OneAtATime: so many serve at every moment. There a deployment with
    the minimum healthy has succeeded; here all of them run it, or none."""
    world = rolled(tmp_path, count=9, number=number, max_unavailable=said)
    assert extremes(world)[0] == healthy
    assert world.verdict() is (Verdict.GOOD if number == BETTER else Verdict.FAILED)
    world.quiet()
    assert [each for _, each in world.serving()] == [BETTER if number == BETTER else GOOD] * 9


@pytest.mark.parametrize("deploy", [{"max_unavailable": "50%"}, {"max_unavailable": 0, "max_surge": 2}])
def test_a_bad_batch_is_the_last(tmp_path: Path, deploy: dict[str, Any]) -> None:
    world = rolled(tmp_path, number=NEVER_HEALTHY, **deploy)
    fewest, _ = extremes(world)
    assert fewest == (4 if "max_surge" in deploy else 2)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert [number for _, number in world.serving()] == [GOOD] * 4
    entries = world.control.deployment(world.world.place.id, APP, 2)[0]
    assert [each.batch for each in entries if isinstance(each, Moved)] == [1]


def test_zone_after_zone(tmp_path: Path) -> None:
    world = rolled(tmp_path, count=6, batch="zone")
    mixed: set[tuple[str, ...]] = set()

    def ended() -> bool:
        seen = world.world.engine.observe(world.world.place.id).instances
        web = [each for each in seen if each.group == "web"]
        after, before = ({each.zone for each in web if each.release == number} for number in (BETTER, GOOD))
        mixed.add(tuple(sorted(after & before)))
        return world.newest.ended is not None

    world.settle(ended)
    assert all(len(zones) <= 1 for zones in mixed), "one zone at a time"
    starts = [each.instance for each in world.recorder.actions if isinstance(each, Start)]
    zones = {each.id: each.zone for each in world.world.engine.observe(world.world.place.id).instances}
    assert [zones[each] for each in starts] == ["a", "a", "b", "b", "c", "c"]


def test_what_the_way_back_could_not_bring_back_is_launched_until_it_can(tmp_path: Path) -> None:
    """The one that turned and turned back isn't waited for for ever: it counts as a launch that failed."""
    world = rolled(tmp_path, number=NEVER_HEALTHY)
    behaviours = world.world.memory.behaviours  # type: ignore[attr-defined]
    behaviours[GOOD] = Behaviour(healthy_after=None)
    for each in ("web-1", "web-2", "web-3", "web-4"):
        world.world.memory.own[each] = Behaviour()  # type: ignore[attr-defined]
    world.settle(lambda: any(isinstance(each, Start) for each in world.recorder.actions))
    (turned,) = (each.instance for each in world.recorder.actions if isinstance(each, Start))
    del world.world.memory.own[turned]  # type: ignore[attr-defined]
    world.settle(lambda: world.newest.ended is not None, ticks=5000)
    assert world.verdict() is Verdict.INFRASTRUCTURE
    assert [number for _, number in world.serving()] == [GOOD] * 3
    care = world.control.environments[world.world.place.id].care
    world.settle(lambda: [each.phase.value for each in care[APP, "web"].breakers] == ["open"], ticks=20_000)
    assert [number for _, number in world.serving()] == [GOOD] * 3
    behaviours[GOOD] = Behaviour()
    world.settle(lambda: len(world.serving()) == 4, ticks=20_000)


def test_a_group_says_otherwise(tmp_path: Path) -> None:
    better = formation(web=2, worker=2, strategy="rolling")
    worker = replace(better.groups[1], deploy=Deploy(strategy="replace"))
    world = up(tmp_path, {GOOD: formation(web=2, worker=2), BETTER: replace(better, groups=(better.groups[0], worker))})
    world.deploy(BETTER)
    assert [(each.name, each.in_place) for each in world.newest.started.groups] == [("web", True), ("worker", False)]
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [id_ for id_, _ in world.serving()] == ["web-1", "web-2"]
    assert [id_ for id_, _ in world.serving("worker")] == ["worker-3", "worker-4"]


# --- blue-green -------------------------------------------------------------------------------------------------------

BACK = 7
"""What r1 is, under another number: a rollback."""


def green(path: Path, **deploy: Any) -> Controlled:
    """r2 over r1, by blue-green."""
    better = formation(strategy="blue-green", **{"keep_old": timedelta(seconds=20), **deploy})
    world = up(path, {BETTER: better}, same_code=[BACK])
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    return world


def aside(world: Controlled, release: int) -> list[Target]:
    return [each.target for each in instances(world, "web", release)]


def pass_by(world: Controlled, seconds: float) -> None:
    until = world.world.clock.monotonic() + seconds
    world.settle(lambda: world.world.clock.monotonic() >= until, ticks=2000)


def test_the_old_ones_stay_for_a_way_back_without_a_boot(tmp_path: Path) -> None:
    world = green(tmp_path)
    pass_by(world, 10)
    assert aside(world, GOOD) == [Target.DRAINING] * 2
    assert instances(world, "worker", GOOD) == [], "two versions of it would both work"
    before = len(world.recorder.actions)
    world.deploy(BACK)
    world.settle(lambda: world.newest.switched_at is not None)
    world.settle(lambda: [number for _, number in world.serving()] == [BACK, BACK])
    assert world.serving() == [("web-1", BACK), ("web-2", BACK)]
    assert world.verdict() is Verdict.GOOD
    begun = [each.group for each in world.recorder.actions[before:] if isinstance(each, Launch)]
    assert begun == ["worker"]


def test_after_the_stated_time_they_end(tmp_path: Path) -> None:
    world = green(tmp_path)
    pass_by(world, 25)
    world.quiet()
    assert instances(world, "web", GOOD) == []
    assert [number for _, number in world.serving()] == [BETTER, BETTER]


def test_the_next_release_ends_what_was_kept(tmp_path: Path) -> None:
    world = green(tmp_path)
    world.deploy(OTHER)
    assert world.newest.started.groups[0].aside is None
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert (instances(world, "web", GOOD), instances(world, "web", BETTER)) == ([], [])


def test_what_was_kept_and_is_not_well_is_no_way_back(tmp_path: Path) -> None:
    world = green(tmp_path)
    world.world.destroy("web-1")
    world.deploy(BACK)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert {number for _, number in world.serving()} == {BACK}
    assert ("web-2", BACK) in world.serving()


def test_a_failed_way_back_leaves_what_served(tmp_path: Path) -> None:
    world = green(tmp_path)
    world.world.memory.behaviours[BACK] = Behaviour(dies_after=0.3)  # type: ignore[attr-defined]
    world.deploy(BACK)
    assert world.verdict() is Verdict.FAILED, "its worker dies"
    world.quiet()
    assert [number for _, number in world.serving()] == [BETTER, BETTER]


@pytest.mark.parametrize("ticks", range(1, 30, 4))
def test_control_dies_on_the_way_to_what_was_kept(tmp_path: Path, ticks: int) -> None:
    world = green(tmp_path)
    world.deploy(BACK)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert world.serving() == [("web-1", BACK), ("web-2", BACK)]


def test_the_time_at_the_gate_does_not_count(tmp_path: Path) -> None:
    world = up(tmp_path, {BETTER: formation(timeout=timedelta(seconds=3), pause_after=1)})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.waits_at_gate)
    pass_by(world, 5)
    world.control.go_on(world.world.place.id, APP, None, by="ada")
    assert world.verdict() is Verdict.GOOD


# --- canary -----------------------------------------------------------------------------------------------------------


def test_a_slow_canary_goes_back(tmp_path: Path) -> None:
    world = canary(tmp_path, Behaviour(response_ms=25))
    assert world.verdict() is Verdict.FAILED
    assert world.newest.ended is not None
    assert "its answers take" in world.newest.ended.evidence.summary


@pytest.mark.parametrize(("policy", "verdict"), [("back", Verdict.INCONCLUSIVE), ("continue", Verdict.GOOD)])
def test_too_little_traffic_is_no_silent_pass(tmp_path: Path, policy: str, verdict: Verdict) -> None:
    world = canary(tmp_path, load=20, inconclusive=policy)
    assert world.verdict() is verdict
    assert world.newest.ended is not None
    said = world.newest.ended.evidence.summary
    assert "requests to the new release, expected 50" in said or "judge the canary in step 1, 2" in said
    assert world.newest.inconclusive == ((1, 2) if policy == "continue" else ())


@pytest.mark.parametrize("fault", ["dies", "sick"])
def test_a_canary_that_is_not_well_goes_back(tmp_path: Path, fault: str) -> None:
    better = Behaviour(dies_after=2) if fault == "dies" else Behaviour(unhealthy_after=2)
    world = canary(tmp_path, better)
    assert world.verdict() is Verdict.FAILED
    assert world.newest.step == 1
    world.quiet()
    assert world.serving() == [("web-1", GOOD), ("web-2", GOOD)]


def test_a_rollback_is_no_canary(tmp_path: Path) -> None:
    world = canary(tmp_path)
    assert world.verdict() is Verdict.GOOD
    releases = world.world.releases  # type: ignore[attr-defined]
    back = replace(releases[OTHER], origin=GOOD, resolved=formation(strategy="canary", steps=STEPS))
    releases[OTHER] = back
    world.world.store.delete(release_key(APP, "staging", OTHER))
    world.world.store.create(release_key(APP, "staging", OTHER), json.encode(back))
    before = len(shares(world))
    world.deploy(OTHER)
    assert world.verdict() is Verdict.GOOD
    assert len(shares(world)) == before


def test_aborted_in_a_step(tmp_path: Path) -> None:
    world = canary(tmp_path)
    world.settle(lambda: world.newest.step == 2)
    abort(world)
    assert extremes(world)[0] >= 2
    assert world.verdict() is Verdict.ABORTED
    world.quiet()
    assert world.serving() == [("web-1", GOOD), ("web-2", GOOD)]
    assert world.world.engine.observe(world.world.place.id).shares == {}


@pytest.mark.parametrize("ticks", range(3, 200, 28))
def test_control_dies_in_a_canary(tmp_path: Path, ticks: int) -> None:
    world = canary(tmp_path)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    assert [number for _, number in world.serving()] == [BETTER, BETTER]
    assert world.world.engine.observe(world.world.place.id).shares == {}
