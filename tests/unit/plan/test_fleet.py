"""What the fleet decider answers, rule by rule. `tests/property/test_mutation.py` shows that each rule is needed."""

from collections.abc import Callable

from homeport.model.action import Drain, Inherit, Kill, Launch, PutInService, Start, Stop, Terminate
from homeport.model.fleet import Check, Cohort, Run, State, Target
from homeport.plan.fleet import reconcile
from homeport.testing.builder import NOW, after, desired, instance, observation


def actions(plan) -> tuple:
    return plan.actions


THREE = [instance("web-1", zone="a"), instance("web-2", zone="b"), instance("web-3", zone="c")]


def check_fixpoint() -> None:
    plan = reconcile(desired(Cohort(release=1, count=3)), observation(*THREE), NOW)
    assert actions(plan) == ()
    assert {each.reason for each in plan.decisions} == {"in service with r1"}


def check_launches_spread_over_zones() -> None:
    plan = reconcile(desired(Cohort(release=1, count=4)), observation(THREE[1]), NOW)
    launches = [each for each in actions(plan) if isinstance(each, Launch)]
    assert [(each.instance, each.zone) for each in launches] == [("web-3", "a"), ("web-4", "c"), ("web-5", "a")]


def check_unknown_is_left_alone() -> None:
    lost = instance("web-1", run=Run.UNKNOWN, check=Check.UNKNOWN)
    plan = reconcile(desired(), observation(lost), NOW)
    assert actions(plan) == ()


def check_ended_is_cleaned_up() -> None:
    gone = instance("web-1", state=State.TERMINATING, run=Run.STOPPED, target=Target.UNUSED, next_release=2)
    plan = reconcile(desired(Cohort(release=2, count=1)), observation(gone, instance("web-2", 2)), NOW)
    assert actions(plan) == (Terminate(instance="web-1"),)


def check_kill_after_grace() -> None:
    deaf = instance(
        "web-1",
        state=State.TERMINATING,
        run=Run.STOPPING,
        target=Target.UNUSED,
        stop_at=after(-10),
        check=Check.INITIAL,
    )
    plan = reconcile(desired(), observation(deaf), NOW)
    assert actions(plan) == (Kill(instance="web-1"),)


def check_waits_for_stop() -> None:
    polite = instance("web-1", state=State.TERMINATING, run=Run.STOPPING, target=Target.UNUSED, stop_at=after(-4))
    plan = reconcile(desired(), observation(polite), NOW)
    assert (actions(plan), plan.wake_at) == ((), after(6))


def check_interrupted_stop_is_repeated() -> None:
    leaving = instance("web-1", state=State.TERMINATING, target=Target.UNUSED)
    turning = instance("web-2", next_release=2, target=Target.UNUSED)
    plan = reconcile(desired(Cohort(release=2, count=1, in_place=True)), observation(leaving, turning), NOW)
    assert actions(plan) == (Stop(instance="web-1"), Stop(instance="web-2", next_release=2))


def check_next_generation_starts() -> None:
    between = instance("web-1", run=Run.STOPPED, target=Target.UNUSED, next_release=2)
    plan = reconcile(desired(Cohort(release=2, count=1, in_place=True)), observation(between), NOW)
    assert actions(plan) == (Start(instance="web-1", release=2),)


def check_dead_is_replaced() -> None:
    dead = instance("web-1", run=Run.STOPPED, died=True, zone="a")
    plan = reconcile(desired(Cohort(release=1, count=3)), observation(dead, *THREE[1:]), NOW)
    launch = Launch(app="shop", group="web", instance="web-4", zone="a", release=1)
    assert actions(plan) == (launch, Terminate(instance="web-1")), "nobody waits for the cleaning up"


def check_successors_first() -> None:
    fresh = instance("web-2", 2, state=State.PENDING, target=Target.UNUSED)
    wanted = desired(Cohort(release=2, count=1), Cohort(release=1, count=1, serving=False, launch=False))
    plan = reconcile(wanted, observation(instance("web-1"), fresh), NOW)
    assert actions(plan) == (PutInService(instance="web-2"),)
    surplus = reconcile(desired(Cohort(release=2, count=1)), observation(instance("web-1"), fresh), NOW)
    assert actions(surplus) == (PutInService(instance="web-2"),)


def check_sick_successor_does_not_count() -> None:
    wanted = desired(Cohort(release=2, count=1), Cohort(release=1, count=1, serving=False, launch=False))
    sick = instance("web-2", 2, check=Check.UNHEALTHY)
    assert actions(reconcile(wanted, observation(instance("web-1"), sick), NOW)) == ()


def check_drains_before_stop() -> None:
    plan = reconcile(desired(Cohort(release=1, count=2)), observation(*THREE), NOW)
    assert actions(plan) == (Drain(instance="web-3"),)


def check_waits_for_connections() -> None:
    busy = instance("web-3", target=Target.DRAINING, drain_at=after(-10), in_flight=2)
    plan = reconcile(desired(Cohort(release=1, count=2)), observation(*THREE[:2], busy), NOW)
    assert (actions(plan), plan.wake_at) == ((), after(20))
    blind = instance("web-3", target=Target.DRAINING, drain_at=after(-10), in_flight=None)
    assert actions(reconcile(desired(Cohort(release=1, count=2)), observation(*THREE[:2], blind), NOW)) == ()


def check_stops_when_drained_or_late() -> None:
    for drained in (
        instance("web-3", target=Target.DRAINING, drain_at=after(-1), in_flight=0),
        instance("web-3", target=Target.DRAINING, drain_at=after(-30), in_flight=2),
    ):
        plan = reconcile(desired(Cohort(release=1, count=2)), observation(*THREE[:2], drained), NOW)
        assert actions(plan) == (Stop(instance="web-3"),)


def check_kept_aside() -> None:
    aside = instance("web-1", target=Target.DRAINING, drain_at=after(-1), in_flight=0)
    wanted = desired(Cohort(release=2, count=1), Cohort(release=1, count=1, serving=False, launch=False))
    assert actions(reconcile(wanted, observation(aside, instance("web-2", 2)), NOW)) == ()
    waiting = instance("web-2", 2, state=State.PENDING, target=Target.UNUSED)
    before = desired(Cohort(release=1, count=1), Cohort(release=2, count=1, serving=False))
    assert actions(reconcile(before, observation(instance("web-1"), waiting), NOW)) == ()


def check_comes_back_from_aside() -> None:
    aside = instance("web-1", target=Target.DRAINING, drain_at=after(-1), in_flight=3)
    plan = reconcile(desired(Cohort(release=1, count=1)), observation(aside), NOW)
    assert actions(plan) == (PutInService(instance="web-1"),)


def check_converts_in_place() -> None:
    wanted = desired(Cohort(release=2, count=1, in_place=True), Cohort(release=1, count=2))
    assert actions(reconcile(wanted, observation(*THREE), NOW)) == (Drain(instance="web-3"),)
    drained = instance("web-3", target=Target.DRAINING, drain_at=after(-1), in_flight=0, zone="c")
    plan = reconcile(wanted, observation(*THREE[:2], drained), NOW)
    assert actions(plan) == (Stop(instance="web-3", next_release=2),)


def check_converts_no_more_than_the_floor_allows() -> None:
    wanted = desired(Cohort(release=2, count=3, in_place=True), floor=2)
    assert len(actions(reconcile(wanted, observation(*THREE), NOW))) == 1
    sick = instance("web-3", zone="c", check=Check.UNHEALTHY)
    assert actions(reconcile(wanted, observation(*THREE[:2], sick), NOW)) == (Drain(instance="web-3"),)
    turned = instance("web-4", 2, check=Check.UNHEALTHY)
    four = desired(Cohort(release=2, count=4, in_place=True), floor=3)
    held = reconcile(four, observation(*THREE, turned), NOW)
    assert not any(isinstance(each, Drain) for each in actions(held)), "the sick one of the four doesn't make up for it"


def check_the_floor_is_of_those_that_are_well() -> None:
    wanted = desired(Cohort(release=1, count=3, in_place=True), floor=2)
    dead = instance("web-3", 2, zone="c", run=Run.STOPPED, died=True)
    turning = (instance("web-1", 2), instance("web-2", 2, zone="b"))
    assert not {type(each) for each in actions(reconcile(wanted, observation(*turning, dead), NOW))} & {Drain}
    sick = instance("web-3", 1, zone="c", check=Check.UNHEALTHY)
    assert not {type(each) for each in actions(reconcile(wanted, observation(*turning, sick), NOW))} & {Drain}
    well = instance("web-3", 1, zone="c")
    assert Drain in {type(each) for each in actions(reconcile(wanted, observation(*turning, well), NOW))}


def check_inherits_what_runs_the_same() -> None:
    wanted = desired(Cohort(release=2, count=4, inherits=1))
    sick, booting = (
        instance("web-2", check=Check.UNHEALTHY),
        instance("web-3", state=State.PENDING, check=Check.INITIAL, target=Target.UNUSED),
    )
    plan = reconcile(wanted, observation(instance("web-1"), sick, booting, instance("web-4", 2)), NOW)
    launches = [each for each in actions(plan) if isinstance(each, Launch)]
    assert [each for each in actions(plan) if each not in launches] == [
        Inherit(instance="web-1", release=2),
        Stop(instance="web-3"),
    ], "what is sick, or not in service, must show that it can start"
    assert [(each.instance, each.release) for each in launches] == [("web-5", 2), ("web-6", 2)]


def check_own_come_before_heirs() -> None:
    wanted = desired(Cohort(release=2, count=2, inherits=1))
    own = (instance("web-2", 2, zone="b"), instance("web-3", 2, zone="c"))
    plan = reconcile(wanted, observation(instance("web-1"), *own), NOW)
    assert actions(plan) == (Drain(instance="web-1"),)


def check_not_ready_waits() -> None:
    booting = instance("web-1", state=State.PENDING, check=Check.INITIAL, target=Target.UNUSED)
    plan = reconcile(desired(Cohort(release=1, count=1)), observation(booting), NOW)
    assert actions(plan) == ()
    assert "initial" in plan.decisions[0].reason


def check_worker_without_target() -> None:
    wanted = desired(Cohort(release=1, count=1), name="jobs", balanced=False)
    young = instance("jobs-1", state=State.PENDING, check=Check.HEALTHY, target=Target.UNUSED)
    assert actions(reconcile(wanted, observation(young), NOW)) == (PutInService(instance="jobs-1"),)
    settled = instance("jobs-1", target=Target.UNUSED)
    assert actions(reconcile(wanted, observation(settled), NOW)) == ()


def check_backoff() -> None:
    def ended(ordinal: int, at: float) -> object:
        return instance(
            f"web-{ordinal}",
            state=State.TERMINATED,
            run=Run.STOPPED,
            target=Target.UNUSED,
            died=True,
            started_at=after(at - 5),
            ended_at=after(at),
        )

    wanted = desired(Cohort(release=1, count=1))
    assert len(actions(reconcile(wanted, observation(ended(1, -1)), NOW))) == 1
    plan = reconcile(wanted, observation(ended(1, -14), ended(2, -8), ended(3, -1)), NOW)
    assert (actions(plan), plan.wake_at) == ((), after(1))
    assert len(actions(reconcile(wanted, observation(ended(1, -14), ended(2, -8), ended(3, -2)), NOW))) == 1


CHECKS: list[Callable[[], None]] = [each for name, each in list(globals().items()) if name.startswith("check_")]


def pytest_generate_tests(metafunc) -> None:
    if "check" in metafunc.fixturenames:
        metafunc.parametrize("check", CHECKS, ids=lambda each: each.__name__.removeprefix("check_"))


def test_fleet(check) -> None:
    check()


def test_empty_group_wants_nothing() -> None:
    assert actions(reconcile(desired(), observation(), NOW)) == ()


def test_other_groups_are_not_touched() -> None:
    others = observation(instance("jobs-1"), instance("web-1", app="blog"))
    assert actions(reconcile(desired(), others, NOW)) == ()
