"""Years of nights in a minute: the invariants hold under random faults, and each of them is shown able to fail."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from homeport.model.action import Decision, FailOpen
from homeport.model.breaker import BreakerState
from homeport.model.platform import Deploy, Group, Health, Instances, Place, Resolved, Route, Strategy
from homeport.plan import departure, fleet, launch
from homeport.simulation import invariant
from homeport.simulation.run import Result, Simulation, random_faults

Patch = pytest.MonkeyPatch


def formation(strategy: Strategy = "replace") -> Resolved:
    health = Health(path="/healthz", grace=timedelta(seconds=10))
    web = Group(
        name="web",
        run=("web",),
        instances=Instances(min=1, desired=3, max=6),
        balanced=True,
        health=health,
        stop_grace=timedelta(seconds=3),
        drain=timedelta(seconds=5),
    )
    jobs = Group(
        name="jobs",
        run=("worker",),
        instances=Instances(min=1, desired=2, max=6),
        health=replace(health, path=None),
        stop_grace=timedelta(seconds=3),
    )
    return Resolved(
        app="shop",
        place=Place(platform="shop", name="staging"),
        groups=(web, jobs),
        routes=(Route(to="web"),),
        deploy=Deploy(strategy=strategy),
        processes={"web": "serve", "worker": "work"},
    )


def simulated(seed: int, hours: float, **options: bool) -> Result:
    """Each other seed deploys in place."""
    return random_faults(formation("rolling" if seed % 2 else "replace"), seed=seed, hours=hours, **options)


@pytest.mark.parametrize("seed", range(4))
def test_everything_holds(seed: int) -> None:
    result = simulated(seed, 2)
    assert result.problems == (), f"again: python bench/simulate.py --seed {seed} --hours 2"
    assert (result.seconds, result.faults) > (2 * 3600, 60)


def test_a_seed_gives_the_same_again_whatever_order_things_are_observed_in() -> None:
    first = simulated(3, 1, trace=True)
    assert simulated(3, 1, trace=True, shuffled=False).trace == first.trace
    assert simulated(5, 1, trace=True).trace != first.trace


# --- each invariant can fail -----------------------------------------------------------------------------------------


def without(*names: str) -> tuple[object, ...]:
    return tuple(each for each in fleet.RULES if each.name not in names)


def rules(*names: str) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(fleet, "RULES", without(*names))


def boundless(patch: Patch) -> None:
    patch.setattr(departure.Scene, "room", property(lambda _: 20))
    patch.setattr(departure, "_MOSTLY", 99)


def hasty(patch: Patch) -> None:
    patch.setattr(fleet, "_enough", lambda *_: True)


def fearless(patch: Patch) -> None:
    whole = departure.judge
    patch.setattr(
        departure, "judge", lambda *arguments, **more: BreakerState(release=whole(*arguments, **more).release)
    )


def forgetful(patch: Patch) -> None:
    """Gives the ids of those that are there again."""
    whole = fleet.launches

    def again(scene, observed, roles, breakers):
        decisions, wakes = whole(scene, replace(observed, last_ordinal={}), roles, breakers)
        return decisions, wakes

    patch.setattr(fleet, "launches", again)


def stubborn(patch: Patch) -> None:
    """No launch but in the first zone."""
    patch.setattr(launch, "emptiest_zone", lambda zones, _: zones[0])
    patch.setattr(departure, "_misplaced", lambda *_: [])
    patch.setattr(fleet, "at_rest", lambda *_: None)


SPOIL: dict[str, tuple[Callable[[Patch], None], int]] = {
    "never_more_than_max_and_surge": (boundless, 2),
    "never_below_the_floor_by_our_own_hand": (hasty, 0),
    "unknown_is_never_destroyed": (rules("unknown", "still needed"), 8),
    "no_launch_while_suspended": (lambda patch: patch.setattr(launch, "no_launch", lambda *_: ""), 7),
    "no_launch_while_broken_open": (fearless, 0),
    "no_instance_twice": (forgetful, 0),
    "everyone_serves": (lambda patch: patch.setattr(departure, "_lost", lambda *_: None), 0),
    "every_instance_is_accounted_for": (rules("surplus"), 0),
    "zones_are_even": (stubborn, 0),
    "a_deployment_ends": (rules("convert"), 3),
}
"""Invariant → what spoils the decider, and a seed that shows it."""


@pytest.mark.parametrize("name", SPOIL)
def test_invariant_can_fail(name: str, monkeypatch: Patch) -> None:
    spoil, seed = SPOIL[name]
    spoil(monkeypatch)
    problems = simulated(seed, 1).problems
    assert any(f" {name}:" in each for each in problems), f"{name} holds of a decider that was spoilt: {problems}"


def test_every_invariant_is_shown_able_to_fail() -> None:
    assert {each.__name__ for each in (*invariant.ALWAYS, *invariant.CALM)} <= set(SPOIL)


def test_a_fixpoint_is_seen_not_to_be_one(monkeypatch: Patch) -> None:
    simulation = Simulation(formation())
    again = [Decision(subject="web", reason="again", action=FailOpen(app="shop", group="web", open=False))]
    monkeypatch.setattr(fleet, "_fail_open", lambda *_: again)
    monkeypatch.setattr(fleet, "at_rest", lambda *_: None)
    simulation.settle()
    assert any(" a_fixpoint_has_no_actions:" in each for each in simulation.result().problems)
