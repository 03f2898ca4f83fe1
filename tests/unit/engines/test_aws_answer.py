"""What AWS says of instances and targets, as the deciders know it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.engines.aws import answer
from homeport.engines.aws.fleet import Member, Pool
from homeport.engines.aws.kept import Kept, Turn
from homeport.model.fleet import Check, Instance, Run, State, Target
from homeport.model.platform import Place

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = Place(platform="shop", name="production", engine="aws")


def seen(*, targets: tuple[str, ...] = ("arn",), turn: Turn | None = None, pulled: int = 0, **said: Any) -> Instance:
    fields: dict[str, Any] = {"lifecycle": "InService", "well": True, "tags": {"homeport-release": "r1"}} | said
    member = Member(id="i-1", zone="a", address="10.0.0.1", launched_at=NOW - timedelta(hours=1), **fields)
    pool = Pool(name="pool", app="shop", group="web", capacity=1, targets=targets, members=(member,))
    kept = Kept(place=PLACE, url="http://x", turns={} if turn is None else {"i-1": turn})
    return answer.instance(pool, member, kept, NOW, pulled=pulled, stop_at=None)


@pytest.mark.parametrize(
    ("lifecycle", "state", "run"),
    [
        ("Pending", State.PENDING, Run.STARTING),
        ("Pending:Wait", State.PENDING_WAIT, Run.STARTING),
        ("Pending:Proceed", State.PENDING, Run.STARTING),
        ("InService", State.IN_SERVICE, Run.RUNNING),
        ("EnteringStandby", State.STANDBY, Run.RUNNING),
        ("Terminating:Wait", State.TERMINATING_WAIT, Run.STOPPING),
        ("Terminated", State.TERMINATED, Run.STOPPED),
        ("Quarantined", State.PENDING, Run.UNKNOWN),
    ],
)
def test_a_life_cycle_state(lifecycle: str, state: State, run: Run) -> None:
    found = seen(lifecycle=lifecycle)
    assert (found.state, found.run) == (state, run)


@pytest.mark.parametrize(
    ("lifecycle", "died"),
    [("InService", True), ("Standby", True), ("Terminating:Wait", True), ("Terminating:Proceed", False)],
)
def test_a_machine_that_stopped_has_died_unless_its_group_ends_it(lifecycle: str, died: bool) -> None:
    found = seen(lifecycle=lifecycle, down=True)
    assert (found.run, found.died, bool(found.reason)) == (Run.STOPPED, died, died)
    assert seen(lifecycle="InService", down=True, targets=()).check is Check.INITIAL


@pytest.mark.parametrize(
    ("health", "check", "target"),
    [
        ("healthy", Check.HEALTHY, Target.READY),
        ("unhealthy", Check.UNHEALTHY, Target.READY),
        ("draining", Check.HEALTHY, Target.DRAINING),
        ("initial", Check.INITIAL, Target.UNUSED),
        ("", Check.HEALTHY, Target.UNUSED),
    ],
)
def test_the_health_of_a_target(health: str, check: Check, target: Target) -> None:
    found = seen(health=health)
    assert (found.check, found.target) == (check, target)
    assert found.in_flight == (0 if target is Target.UNUSED else None)


def test_without_targets_the_groups_own_word_counts() -> None:
    assert seen(targets=()).check is Check.HEALTHY
    assert seen(targets=(), well=False).check is Check.INITIAL
    assert seen(targets=(), lifecycle="Pending:Wait").check is Check.INITIAL


def test_one_that_has_not_told_runs_what_it_pulls() -> None:
    assert seen(tags={}, pulled=7).release == 7
    assert seen(pulled=7).release == 1


def test_a_turn_goes_on_until_the_instance_tells_its_release() -> None:
    turn = Turn(release=2, command="c", begun_at=NOW)
    going_on = seen(turn=turn)
    assert (going_on.release, going_on.next_release, going_on.run) == (1, 2, Run.STARTING)
    over = seen(turn=turn, tags={"homeport-release": "r2"})
    assert (over.release, over.next_release, over.run, over.started_at) == (2, None, Run.RUNNING, NOW)


def test_a_turn_that_failed_is_a_generation_that_died_beside_the_instance() -> None:
    said = ("  answered 500", "more")
    turn = Turn(release=2, command="", begun_at=NOW, ended_at=NOW, failed="not healthy", lines=said)
    living = seen(turn=turn, health="healthy")
    assert (living.release, living.next_release, living.died, living.target) == (1, None, False, Target.READY)
    dead = answer.refused(living, turn)
    assert (dead.id, dead.release, dead.state, dead.died) == ("i-1:r2", 2, State.TERMINATED, True)
    assert (dead.reason, dead.ended_at, dead.check) == ("not healthy; answered 500", NOW, Check.INITIAL)
