"""Deployments by every strategy, to every end, under random faults: what must hold of them does, and each invariant is
shown able to fail."""

import itertools
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from homeport.control import deployment as driver
from homeport.control.lease import Lease
from homeport.control.log import FencedLog, create_entry
from homeport.control.pointer import Pointers
from homeport.model.deployment import Baking, Deployment, Entry
from homeport.model.platform import Deploy, Resolved, Weight
from homeport.plan import batch, fleet, way_back
from homeport.plan import deployment as decider
from homeport.plan.deployment_view import View
from homeport.plan.journal import apply
from homeport.plan.lease import entry_key, fence_of
from homeport.simulation.deployment import ACTIONS, ENTRIES, STATES
from homeport.simulation.run import Result, random_faults
from tests.unit.simulation.test_random import formation

Patch = pytest.MonkeyPatch
STEPS = (Weight(percent=10, pause=timedelta(seconds=8)), Weight(percent=50, pause=timedelta(seconds=8)))


def deployed() -> Resolved:
    deploy = Deploy(
        keep_old=timedelta(seconds=30),
        steps=STEPS,
        min_requests=10,
        timeout=timedelta(minutes=3),
        max_unavailable="50%",
    )
    return replace(formation(), deploy=deploy, release_task="migrate")


def simulated(seed: int, hours: float, **options: bool) -> Result:
    return random_faults(deployed(), seed=seed, hours=hours, deployments=True, **options)


@pytest.mark.parametrize("seed", [0, 1, 2, 4])
def test_everything_holds(seed: int) -> None:
    result = simulated(seed, 0.5)
    assert result.problems == (), f"again: python bench/simulate.py --seed {seed} --hours 0.5 --deployments"
    ended = {each.words.split(": ")[2] for each in result.lines if each.kind == "deployment_ended"}
    assert {"good", "failed", "aborted"} <= ended


def test_a_seed_gives_the_same_again() -> None:
    assert simulated(1, 0.5, trace=True).trace == simulated(1, 0.5, trace=True, shuffled=False).trace


# --- each invariant can fail -----------------------------------------------------------------------------------------


def without(*names: str) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(fleet, "RULES", tuple(each for each in fleet.RULES if each.name not in names))


def credulous(patch: Patch) -> None:
    """Every instance that is wanted is believed to serve."""
    patch.setattr(View, "carrying", lambda *_: 99)


def stubborn(patch: Patch) -> None:
    """A lease is kept whoever else has it, and so is the journal."""

    def append(self: FencedLog, fence: int, data: bytes) -> None:
        own = [key for key in self.store.list(self.prefix) if fence_of(key) == fence]
        create_entry(self.store, entry_key(self.prefix, fence, len(own) + 1), data)

    patch.setattr(FencedLog, "append", append)
    patch.setattr(Lease, "beat", lambda _: None)
    patch.setattr(Lease, "may_act", True)


def impatient(patch: Patch) -> None:
    """An instance that has begun is ready."""
    rules = tuple(
        replace(each, when=lambda s: not s.carrying) if each.name == "ready" else each for each in fleet.RULES
    )
    patch.setattr(fleet, "RULES", rules)


def forgetful(patch: Patch) -> None:
    """A release task isn't known again."""
    numbers = itertools.count()
    patch.setattr(Deployment, "task_id", property(lambda self: f"shop-release-d{self.started.number}-{next(numbers)}"))


def assured(patch: Patch) -> None:
    """Of a task that was cut nothing is said."""
    patch.setattr(way_back, "_with_task", lambda _, evidence: evidence)


def careless(patch: Patch) -> None:
    """What is acted on isn't what was written."""

    def other(known: Deployment, entry: Entry) -> Deployment:
        found = apply(known, entry)
        return replace(found, bake_until_at=entry.at) if isinstance(entry, Baking) else found

    patch.setattr(driver, "apply", other)


def greedy(patch: Patch) -> None:
    """All of a group at once."""
    patch.setattr(batch, "unavailable", lambda _said, count, _surge: count)


def without_the_rule(name: str) -> Callable[[Patch], None]:
    rules = tuple(each for each in decider.RULES if each.name != name)
    return lambda patch: patch.setattr(decider, "RULES", rules)


def rooted(patch: Patch) -> None:
    """`current` stays where it is."""
    whole = Pointers.move
    patch.setattr(Pointers, "move", lambda self, name, to: None if name == "current" else whole(self, name, to))


SPOIL: dict[str, tuple[Callable[[Patch], None], int]] = {
    "only_the_lease_holder_writes": (stubborn, 4),
    "good_is_what_serves_everywhere": (credulous, 7),
    "back_is_what_served_before": (credulous, 1),
    "the_release_task_ran_or_nobody_can_know": (assured, 0),
    "it_moves_to_the_sizes_that_are_asked_for": (without_the_rule("scaled"), 2),
    "a_release_task_is_begun_once": (forgetful, 0),
    "only_the_lease_holder_acts": (stubborn, 10),
    "nothing_is_routed_before_it_is_ready": (impatient, 0),
    "nothing_ends_while_it_is_routed": (without("drain", "still needed"), 3),
    "never_below_the_strategys_floor": (greedy, 1),
    "the_journal_replays_to_the_same": (careless, 0),
    "current_is_the_last_good": (rooted, 0),
}
"""Invariant → what spoils the decider or the driver, and a seed that shows it."""


@pytest.mark.parametrize("name", SPOIL)
def test_invariant_can_fail(name: str, monkeypatch: Patch) -> None:
    spoil, seed = SPOIL[name]
    spoil(monkeypatch)
    problems = simulated(seed, 0.5).problems
    assert any(f" {name}:" in each for each in problems), f"{name} holds of what was spoilt: {problems}"


def test_every_invariant_is_shown_able_to_fail() -> None:
    assert {each.__name__ for each in (*ENTRIES, *ACTIONS, *STATES)} == set(SPOIL)
