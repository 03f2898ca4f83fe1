"""What no release is blamed for, what of people's wishes is still to be done, and whether memory suffices."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.action import FailOpen
from homeport.model.asked import CycleAsked, GroupAsked, StandbyAsked
from homeport.model.breaker import BreakerPhase
from homeport.model.fleet import Check, Instance, Process, Run, State, Target
from homeport.model.platform import Breaker
from homeport.plan.asked import outstanding
from homeport.plan.breaker import judge
from homeport.plan.capacity import Promise, check, check_release
from homeport.plan.illness import Illness, illness
from homeport.testing.builder import NOW, after, instance
from tests.unit.plan.test_fleet_care import HUNG, plan


def dead(ordinal: int, **fields: object) -> Instance:
    """One that died at once, a minute after the one before it."""
    at = after(-400 + ordinal * 60)
    times = {"created_at": at, "started_at": at, "ended_at": at + timedelta(seconds=1), "in_service_at": None}
    ended = {"state": State.TERMINATED, "run": Run.STOPPED, "target": Target.UNUSED, "died": True}
    return instance(f"web-{ordinal}", **(times | ended | fields))


def phase(*history: Instance) -> BreakerPhase:
    return judge(history, 1, Breaker(), grace=timedelta(seconds=5), reset_at=None, now=NOW).phase


def test_neither_a_failed_zone_nor_a_full_disk_opens_a_breaker() -> None:
    assert phase(*(dead(each) for each in range(6))) is BreakerPhase.OPEN
    assert phase(*(dead(each, zone_failed=True) for each in range(6))) is BreakerPhase.CLOSED
    assert phase(*(dead(each, disk_full=True) for each in range(6))) is BreakerPhase.WAITING, "it pauses all the same"


def test_what_was_counted_before_is_no_illness_of_one_that_answers() -> None:
    looped = {"oom_kills": 1, "processes": (Process(name="web", up=True, exits=3, last_exit="exit code 3"),)}
    sick = instance("web-1", check=Check.UNHEALTHY, probe=HUNG, **looped)
    assert illness(sick) is Illness.OUT_OF_MEMORY
    assert illness(replace(sick, oom_kills_well=1)) is Illness.LOOPING
    worker = instance("jobs-1", check=Check.UNHEALTHY, processes=(Process(name="worker", up=True, exits=1),))
    assert illness(worker) is Illness.ENDED
    answers = HUNG.__class__(asked="GET /healthz", ok=False, at=NOW, status=503)
    assert illness(instance("web-1", check=Check.UNHEALTHY, probe=answers, **looped)) is Illness.WRONG


def test_nobody_asks_the_dead() -> None:
    gone = instance("web-1", run=Run.STOPPED, died=True, check=Check.UNHEALTHY)
    assert not any(isinstance(each, FailOpen) for each in plan(1, gone).actions)
    sick = instance("web-1", check=Check.UNHEALTHY, check_since_at=NOW)
    assert FailOpen(app="shop", group="web", open=True) in plan(1, sick).actions


def test_wishes_are_put_away_once_they_are_done() -> None:
    cycle = CycleAsked(since_at=NOW, older_than_at=after(-30), by="ada")
    said = GroupAsked(app="shop", group="web", desired=2, cycle=cycle, standby=(StandbyAsked(instance="web-1"),))
    old, young = instance("web-2"), instance("web-3", created_at=after(-5))
    assert outstanding(said, [instance("web-1"), old, young]) == said
    left = outstanding(said, [instance("web-1", state=State.TERMINATED), old, young])
    assert (left.standby, left.cycle) == ((), cycle)
    assert outstanding(said, [instance("web-1"), young]).cycle is None, "who is on standby isn't waited for"


def test_memory_is_refused_with_the_arithmetic() -> None:
    others = (Promise(group="shop/jobs", count=2, memory_bytes=1_000_000_000),)
    check(Promise(group="shop/web", count=6, memory_bytes=1_000_000_000), others, 8_000_000_000)
    with pytest.raises(Invalid) as refused:
        check(Promise(group="shop/web", count=7, memory_bytes=1_000_000_000), others, 8_000_000_000)
    assert refused.value.message == (
        "shop/web: 7 × 1.0 GB = 7.0 GB, and 2.0 GB are promised to others: 9.0 GB of the 8.0 GB that this machine has"
    )
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("at most 6 of this size fit")


def test_a_release_that_needs_more_than_there_is_and_than_it_had_is_refused() -> None:
    others = (Promise(group="blog/web", count=2, memory_bytes=1_000_000_000),)
    wanted = (
        Promise(group="shop/web", count=3, memory_bytes=2_000_000_000),
        Promise(group="shop/jobs", count=1, memory_bytes=500_000_000),
    )
    check_release("r7", wanted, others, 8_500_000_000, held_bytes=0)
    check_release("r7", wanted, others, 8_000_000_000, held_bytes=6_500_000_000)
    with pytest.raises(Invalid) as refused:
        check_release("r7", wanted, others, 8_000_000_000, held_bytes=6_400_000_000)
    assert refused.value.message == (
        "r7 needs 6.5 GB of memory, and 2.0 GB are promised to others: 8.5 GB of the 8.0 GB that this machine has; "
        "nothing is deployed"
    )
    assert refused.value.details[0] == "shop/web: 3 × 2.0 GB = 6.0 GB"
