"""Decisions about a group whose engine heals by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from homeport.model.action import (
    Action,
    Drain,
    EnterStandby,
    HoldBack,
    Inherit,
    Plan,
    PutInService,
    SetCapacity,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import CycleAsked, GroupAsked, StandbyAsked, Suspendable
from homeport.model.breaker import BreakerPhase
from homeport.model.fleet import Capacity, Check, Cohort, GroupDesired, Instance, Observation, Run, State, Target
from homeport.plan import pool

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def instance(number: int, release: int = 1, **fields: Any) -> Instance:
    said: dict[str, Any] = {"state": State.IN_SERVICE, "run": Run.RUNNING, "check": Check.HEALTHY}
    said |= {"target": Target.READY, "created_at": NOW + timedelta(seconds=number)} | fields
    return Instance(id=f"i-{number}", app="shop", group="web", zone="abc"[number % 3], release=release, **said)


def actions(
    *instances: Instance,
    cohorts: tuple[Cohort, ...],
    capacity: int,
    floor: int = 0,
    balanced: bool = True,
    asked: GroupAsked | None = None,
) -> list[Action]:
    wanted = replace(desired(cohorts), balanced=balanced, floor=floor, asked=asked)
    kept = (Capacity(app="shop", group="web", count=capacity),)
    observed = Observation(at=NOW, instances=instances, capacity=kept)
    return list(pool.reconcile(wanted, observed, NOW, instances).actions)


def desired(cohorts: tuple[Cohort, ...]) -> GroupDesired:
    return GroupDesired(
        app="shop",
        name="web",
        cohorts=cohorts,
        zones=("a", "b", "c"),
        balanced=True,
        stop_grace=timedelta(seconds=5),
        drain=timedelta(seconds=5),
    )


def capacity(count: int) -> SetCapacity:
    return SetCapacity(app="shop", group="web", count=count)


ONE, TWO = Cohort(release=1, count=2), Cohort(release=2, count=2)


def test_what_is_lacking_is_for_the_engine_to_launch() -> None:
    assert actions(cohorts=(ONE,), capacity=0) == [capacity(2)]
    assert actions(instance(1), cohorts=(ONE,), capacity=2) == []


def test_an_environment_that_goes_down_keeps_nothing() -> None:
    assert actions(instance(1), instance(2), cohorts=(), capacity=2) == [capacity(0)]


def test_who_goes_down_lets_go_of_whom_it_protected_also_later() -> None:
    def wants(
        *instances: Instance, count: int, protected: tuple[str, ...], cohorts: tuple[Cohort, ...]
    ) -> list[Action]:
        kept = Capacity(app="shop", group="web", count=count, protected=protected)
        observed = Observation(at=NOW, instances=instances, capacity=(kept,))
        return list(pool.reconcile(desired(cohorts), observed, NOW, instances).actions)

    zero = SetCapacity(app="shop", group="web", count=0, going=("i-1",))
    assert wants(instance(1), count=1, protected=("i-1",), cohorts=()) == [zero]
    assert wants(instance(1), count=0, protected=("i-1",), cohorts=()) == [zero], "it came into service since"
    assert wants(instance(1), count=0, protected=(), cohorts=()) == []
    one = replace(ONE, count=1)
    assert wants(instance(1), count=1, protected=("i-1",), cohorts=(one,)) == []


def refused(number: int, seconds: float, why: str = "no capacity") -> Instance:
    """A launch so many seconds ago."""
    at = NOW - timedelta(seconds=seconds)
    said: dict[str, Any] = {"state": State.TERMINATED, "run": Run.STOPPED, "launched": False, "reason": why}
    return instance(number, created_at=at, started_at=at, ended_at=at + timedelta(seconds=1), **said)


def held_back(*history: Instance, held: tuple[Suspendable, ...] = (), **fields: Any) -> tuple[list[Any], Plan]:
    kept = Capacity(app="shop", group="web", count=2, held=held)
    observed = Observation(at=NOW, instances=history, capacity=(kept,))
    found = pool.reconcile(replace(desired((ONE,)), **fields), observed, NOW, history)
    return [each.processes for each in found.actions if isinstance(each, HoldBack)], found


OPEN = (Suspendable.LAUNCH, Suspendable.REPLACE_UNHEALTHY)
LOOP = tuple(refused(number, 10.0 * (4 - number) + 3) for number in range(5))
"""Five rounds, the last of which failed 2 s ago."""


def test_launches_that_fail_again_and_again_are_held_back_and_what_there_is_is_kept() -> None:
    processes, plan = held_back(*LOOP, instance(9, created_at=NOW - timedelta(hours=1)))
    assert processes == [OPEN]
    (breaker,) = plan.breakers
    assert (breaker.phase, breaker.failures, breaker.reason) == (BreakerPhase.OPEN, 5, "no capacity")
    notes = [each.reason for each in plan.decisions if each.rule == "no launch"]
    assert notes == ["1 of r1 missing: breaker open after 5 failed rounds (no capacity): none before 00:00:06"]
    assert held_back(*LOOP, held=OPEN)[0] == [], "as it is"
    assert held_back(*LOOP[1:])[0] == [], "four are no loop yet"


def test_what_is_held_back_is_tried_again_and_goes_on_when_one_is_in_service() -> None:
    later = tuple(replace(each, ended_at=each.ended_at and each.ended_at - timedelta(minutes=1)) for each in LOOP)
    later = tuple(replace(each, started_at=each.created_at - timedelta(minutes=1)) for each in later)
    assert held_back(*later, held=OPEN)[0] == [(Suspendable.REPLACE_UNHEALTHY,)]
    tried = instance(7, created_at=NOW, state=State.PENDING, run=Run.STARTING, check=Check.INITIAL)
    assert held_back(*later, tried, held=OPEN)[0] == [(Suspendable.REPLACE_UNHEALTHY,)]
    serves = instance(8, created_at=NOW, started_at=NOW)
    assert held_back(*later, serves, held=OPEN)[0] == [()]


def test_a_breaker_that_was_reset_holds_nothing_back_nor_does_a_deployment() -> None:
    reset = GroupAsked(app="shop", group="web", breaker_reset_at=NOW)
    assert held_back(*LOOP, held=OPEN, asked=reset)[0] == [()]
    assert held_back(*LOOP, held=OPEN, trial=2)[0] == [()]
    other = tuple(replace(each, release=7) for each in LOOP)
    assert held_back(*other, held=OPEN)[0] == [()], "what another release failed in is no matter of this one's"


def test_new_ones_come_beside_and_the_old_carry_until_they_are_well() -> None:
    old = (instance(1), instance(2))
    asked = (replace(TWO, serving=False), ONE)
    assert actions(*old, cohorts=asked, capacity=2) == [capacity(4)]
    booting = instance(3, 2, state=State.PENDING_WAIT, run=Run.STARTING, check=Check.INITIAL, target=Target.UNUSED)
    assert actions(*old, booting, cohorts=(TWO,), capacity=4) == []


def test_old_ones_kept_aside_get_no_requests_and_come_back() -> None:
    both = (instance(1), instance(2), instance(3, 2), instance(4, 2))
    aside = replace(ONE, serving=False, launch=False)
    assert actions(*both, cohorts=(TWO, aside), capacity=4) == [Drain(instance="i-1"), Drain(instance="i-2")]
    away = tuple(replace(each, target=Target.UNUSED) for each in both[:2])
    assert actions(*away, *both[2:], cohorts=(TWO, aside), capacity=4) == []
    back = actions(*away, *both[2:], cohorts=(ONE,), capacity=4)
    assert back == [PutInService(instance="i-1"), PutInService(instance="i-2")]
    assert actions(*both, cohorts=(ONE,), capacity=4) == [Terminate(instance="i-3"), Terminate(instance="i-4")]


def test_what_has_ended_already_is_launched_anew_beside_what_leaves() -> None:
    new = instance(1, 2, target=Target.UNUSED)
    one = replace(ONE, count=1)
    assert actions(new, cohorts=(one,), capacity=1, balanced=False) == [capacity(2)]
    assert actions(new, cohorts=(one,), capacity=2, balanced=False) == []
    both = (new, instance(2, 1, target=Target.UNUSED))
    assert actions(*both, cohorts=(one,), capacity=2, balanced=False) == [Terminate(instance="i-1")]


def test_one_that_boots_never_makes_the_capacity_more() -> None:
    booting = instance(1, 9, state=State.PENDING, run=Run.STARTING, check=Check.INITIAL, target=Target.UNUSED)
    assert actions(booting, cohorts=(ONE,), capacity=2) == []
    assert actions(booting, cohorts=(ONE,), capacity=3) == []


def test_in_place_one_after_the_other_drained_first() -> None:
    asked = (Cohort(release=2, count=1, in_place=True), Cohort(release=1, count=1))
    first, second = instance(1), instance(2)
    (drained,) = actions(first, second, cohorts=asked, capacity=2, floor=1)
    assert isinstance(drained, Drain)
    chosen, other = (first, second) if drained.instance == "i-1" else (second, first)
    draining = replace(chosen, target=Target.DRAINING)
    assert actions(draining, other, cohorts=asked, capacity=2, floor=1) == []
    away = replace(chosen, target=Target.UNUSED)
    assert actions(away, other, cohorts=asked, capacity=2, floor=1) == [Start(instance=chosen.id, release=2)]
    turning = replace(away, next_release=2, run=Run.STARTING)
    assert actions(turning, other, cohorts=asked, capacity=2, floor=1) == []
    turned = replace(away, release=2)
    assert actions(turned, other, cohorts=asked, capacity=2, floor=1) == [PutInService(instance=chosen.id)]
    looked_at = replace(turned, check=Check.INITIAL)
    assert actions(looked_at, other, cohorts=asked, capacity=2, floor=1) == []


def test_one_that_hears_nothing_any_more_is_replaced_instead_of_turned() -> None:
    back = (Cohort(release=1, count=2, in_place=True),)
    deaf = instance(1, 2, target=Target.UNUSED, unheard=1)
    assert actions(deaf, instance(2), cohorts=back, capacity=2, floor=1) == [Terminate(instance="i-1")]
    assert actions(instance(2), cohorts=back, capacity=1, floor=1) == [capacity(2)]
    other = replace(deaf, unheard=2)  # a word of another time
    assert actions(other, instance(2), cohorts=back, capacity=2, floor=1) == [Start(instance="i-1", release=1)]


def test_the_floor_holds() -> None:
    asked = (Cohort(release=2, count=2, in_place=True),)
    assert actions(instance(1), instance(2), cohorts=asked, capacity=2, floor=2) == []
    assert len(actions(instance(1), instance(2), cohorts=asked, capacity=2, floor=1)) == 1


def test_one_that_is_ill_counts_for_nobody_who_is_well() -> None:
    """Neither for the floor, nor as a successor: what has died is still a target, until its group notices."""
    dead = instance(1, 2, check=Check.UNHEALTHY)
    one_each = (Cohort(release=2, count=2, in_place=True), replace(ONE, count=1))
    assert actions(dead, instance(2), instance(3), cohorts=one_each, capacity=3, floor=2) == []
    well = replace(dead, check=Check.HEALTHY)
    assert len(actions(well, instance(2), instance(3), cohorts=one_each, capacity=3, floor=2)) == 1
    new = (dead, instance(4, 2))
    assert actions(*new, instance(2), cohorts=(TWO,), capacity=3) == []
    assert actions(well, instance(4, 2), instance(2), cohorts=(TWO,), capacity=3) == [Terminate(instance="i-2")]


def test_what_runs_the_same_is_taken_over_as_it_is() -> None:
    asked = (Cohort(release=2, count=2, inherits=1),)
    found = actions(instance(1), instance(2), cohorts=asked, capacity=2)
    assert found == [Inherit(instance="i-1", release=2), Inherit(instance="i-2", release=2)]


def test_one_that_waits_to_end_is_told_to() -> None:
    leaving = instance(1, state=State.TERMINATING_WAIT)
    assert actions(leaving, cohorts=(), capacity=0) == [Stop(instance="i-1")]
    assert actions(replace(leaving, stop_at=NOW), cohorts=(), capacity=0) == []


def test_unknown_authorises_nothing() -> None:
    assert actions(instance(1, 9, run=Run.UNKNOWN), instance(2), instance(3), cohorts=(ONE,), capacity=3) == []


def test_nothing_is_kept_of_a_first_release_that_never_gets_ready() -> None:
    specimen = Cohort(release=1, count=1, serving=False, launch=False)
    booting = instance(1, state=State.PENDING_WAIT, run=Run.STARTING, check=Check.INITIAL, target=Target.UNUSED)
    assert actions(booting, cohorts=(specimen,), capacity=2) == [capacity(0)]


def test_a_group_without_a_pool_is_left_alone() -> None:
    wanted = GroupDesired(
        app="shop", name="web", cohorts=(ONE,), zones=("a",), balanced=True, stop_grace=timedelta(), drain=timedelta()
    )
    assert pool.reconcile(wanted, Observation(at=NOW), NOW, ()).actions == ()


def test_launches_that_come_to_nothing_are_said_with_the_newest_cause() -> None:
    members = [
        replace(instance(number), state=State.TERMINATED, run=Run.STOPPED, launched=False, reason=why)
        for number, why in ((1, "no capacity"), (2, "no such image"))
    ]
    wanted = GroupDesired(
        app="shop",
        name="web",
        cohorts=(Cohort(release=1, count=1, serving=True),),
        zones=("a",),
        balanced=True,
        stop_grace=timedelta(seconds=1),
        drain=timedelta(seconds=1),
    )
    found = pool.reconcile(wanted, Observation(at=NOW, instances=tuple(members)), NOW, members).decisions
    assert [(each.subject, each.reason) for each in found] == [
        ("web", "no instance of it can be launched: no such image")
    ]


def asked(*standby: str, batch: int = 0) -> GroupAsked:
    """`batch`: cycled, so many at a time."""
    cycle = CycleAsked(since_at=NOW, older_than_at=NOW + timedelta(seconds=10), batch=batch) if batch else None
    aside = tuple(StandbyAsked(instance=each) for each in standby)
    return GroupAsked(app="shop", group="web", standby=aside, cycle=cycle)


def test_who_goes_on_standby_is_made_up_for_and_takes_the_capacity_down_with_it() -> None:
    both, said = (instance(1), instance(2)), asked("i-2")
    assert actions(*both, cohorts=(ONE,), capacity=2, asked=said) == [capacity(3), EnterStandby(instance="i-2")]
    aside = instance(2, state=State.STANDBY, target=Target.UNUSED)
    assert actions(instance(1), aside, cohorts=(ONE,), capacity=2, asked=said) == []
    one = replace(ONE, count=1)  # as `--decrement` has it
    assert actions(*both, cohorts=(one,), capacity=2, asked=said) == [EnterStandby(instance="i-2")]


def test_who_comes_back_from_standby_takes_the_capacity_up() -> None:
    aside = instance(2, state=State.STANDBY, target=Target.UNUSED)
    back = PutInService(instance="i-2")
    assert actions(instance(1), aside, cohorts=(ONE,), capacity=1) == [back]
    assert actions(instance(1), aside, instance(3), cohorts=(ONE,), capacity=2) == [back]
    assert actions(instance(1), aside, cohorts=(), capacity=1) == [capacity(0), back], "everything goes"


def test_a_cycle_replaces_the_oldest_once_their_successors_carry() -> None:
    old = (instance(1), instance(2))
    assert actions(*old, cohorts=(ONE,), capacity=2, asked=asked(batch=1)) == [capacity(3)]
    young = instance(20)
    assert actions(*old, young, cohorts=(ONE,), capacity=3, asked=asked(batch=1)) == [Terminate(instance="i-1")]
    assert actions(instance(21), young, cohorts=(ONE,), capacity=2, asked=asked(batch=1)) == []
