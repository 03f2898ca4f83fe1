"""When traffic moves: a first release takes it as soon as its targets are healthy, a later one when all of it is."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from homeport.model.deployment import Baking, Deployment, Entry, GroupChange, Prepared, Reverting, Started, Switched
from homeport.model.fleet import Check, Instance, Observation, Run, State, Target
from homeport.plan.deployment import next_steps
from homeport.plan.journal import apply, fold, routes_release

AT = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(previous: int | None) -> Deployment:
    """Of r2, its instances launched."""
    groups = tuple(
        GroupChange(name=name, old_count=0 if previous is None else 1, new_count=1) for name in ("web", "worker")
    )
    started = Started(
        at=AT,
        app="plain",
        environment="staging",
        number=1,
        release=2,
        previous=previous,
        strategy="replace",
        groups=groups,
        bake=timedelta(seconds=5),
        grace=timedelta(seconds=30),
        task=None,
        by="tester",
        why="test",
    )
    return fold((started, Prepared(at=AT)))


def instance(group: str, check: Check, *, serving: bool = False) -> Instance:
    return Instance(
        id=f"{group}-1",
        app="plain",
        group=group,
        zone="a",
        release=2,
        created_at=AT,
        run=Run.RUNNING,
        check=check,
        state=State.IN_SERVICE if serving else State.PENDING,
        target=Target.READY if serving and group == "web" else Target.UNUSED,
    )


def entry(of: Deployment, *instances: Instance) -> Entry | None:
    return next_steps(of, Observation(at=AT, instances=instances), frozenset({"web"}), AT).entry


@pytest.mark.parametrize(("web", "moves"), [(Check.INITIAL, False), (Check.HEALTHY, True)])
def test_a_first_release_takes_traffic_before_its_workers_have_settled(web: Check, moves: bool) -> None:
    found = entry(deployment(None), instance("web", web), instance("worker", Check.INITIAL))
    assert isinstance(found, Switched) is moves


def test_its_workers_are_waited_for_before_the_bake_time() -> None:
    switched = apply(deployment(None), Switched(at=AT))
    assert routes_release(switched) == 2
    web = instance("web", Check.HEALTHY, serving=True)
    assert entry(switched, web, instance("worker", Check.INITIAL)) is None
    assert isinstance(entry(switched, web, instance("worker", Check.HEALTHY, serving=True)), Baking)


@pytest.mark.parametrize(("worker", "moves"), [(Check.INITIAL, False), (Check.HEALTHY, True)])
def test_a_later_release_must_be_healthy_as_a_whole(worker: Check, moves: bool) -> None:
    begun = deployment(1)
    found = entry(begun, instance("web", Check.HEALTHY), instance("worker", worker))
    assert isinstance(found, Switched) is moves
    assert routes_release(begun) == 1


@pytest.mark.parametrize(("run", "taken_back"), [(Run.STARTING, False), (Run.RUNNING, True)])
def test_the_grace_time_is_the_apps_own(run: Run, taken_back: bool) -> None:
    """Not that of copying its code, however much there is."""
    late = AT + timedelta(seconds=31)
    web = replace(instance("web", Check.INITIAL), run=run)
    step = next_steps(deployment(1), Observation(at=late, instances=(web,)), frozenset({"web"}), late)
    assert isinstance(step.entry, Reverting) is taken_back


def test_a_timeout_needs_nothing_to_happen() -> None:
    begun = deployment(1)
    timed = replace(begun, started=replace(begun.started, timeout=timedelta(minutes=1)))
    step = next_steps(timed, Observation(at=AT), frozenset({"web"}), AT)
    assert step.wake_at == AT + timedelta(minutes=1, seconds=5)
    late = next_steps(timed, Observation(at=AT), frozenset({"web"}), AT + timedelta(minutes=1, seconds=5))
    assert isinstance(late.entry, Reverting)


def test_who_is_lost_with_his_zone_doesn_t_carry() -> None:
    switched = apply(deployment(1), Switched(at=AT))
    there = (instance("web", Check.HEALTHY, serving=True), instance("worker", Check.HEALTHY, serving=True))
    for zones, moves_on in (((), True), (("a",), False)):
        observed = Observation(at=AT, instances=there, failed_zones=zones)
        assert isinstance(next_steps(switched, observed, frozenset({"web"}), AT).entry, Baking) is moves_on
