"""What holds of the fleet decider whatever it sees. Each property is shown to fail on a decider that was spoilt."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from homeport.model.action import Kill, Launch, Plan, Stop, Terminate
from homeport.model.fleet import Check, Cohort, GroupDesired, Instance, Observation, Run, State, Target
from homeport.plan import fleet
from homeport.plan.member import carries
from homeport.testing.builder import NOW, after, desired, instance, observation


@st.composite
def instances(draw: Any) -> list[Instance]:
    count = draw(st.integers(0, 6))
    return [draw(one(number)) for number in range(1, count + 1)]


@st.composite
def one(draw: Any, number: int) -> Instance:
    state = draw(st.sampled_from([State.PENDING, State.IN_SERVICE, State.TERMINATING, State.TERMINATED]))
    run = Run.STOPPED if state is State.TERMINATED else draw(st.sampled_from(list(Run)))
    return instance(
        f"web-{number}",
        draw(st.integers(1, 3)),
        zone=draw(st.sampled_from("abc")),
        state=state,
        run=run,
        check=Check.UNKNOWN if run is Run.UNKNOWN else draw(st.sampled_from(list(Check))),
        check_since_at=draw(st.sampled_from([None, after(-20), after(-1)])),
        target=draw(st.sampled_from(list(Target))) if state is State.IN_SERVICE else Target.UNUSED,
        next_release=draw(st.sampled_from([None, None, 1, 2])) if state is State.IN_SERVICE else None,
        in_flight=draw(st.sampled_from([None, 0, 2])),
        drain_at=after(draw(st.integers(-40, 0))),
        stop_at=after(draw(st.integers(-20, 0))) if run in (Run.STOPPING, Run.STOPPED) else None,
        died=state is State.TERMINATED and draw(st.booleans()),
        ended_at=after(draw(st.integers(-30, 0))) if state is State.TERMINATED else None,
    )


@st.composite
def groups(draw: Any) -> GroupDesired:
    releases = draw(st.lists(st.integers(1, 3), unique=True, max_size=2))
    cohorts = [
        Cohort(
            release=release,
            count=draw(st.integers(1, 4)),
            serving=draw(st.booleans()),
            launch=draw(st.booleans()),
            in_place=draw(st.booleans()),
        )
        for release in releases
    ]
    return desired(*cohorts, stop_grace=timedelta(seconds=10))


def unknown_is_left_alone(wanted: GroupDesired, seen: Observation) -> None:
    lost = {each.id for each in seen.instances if each.run is Run.UNKNOWN}
    for decision in fleet.reconcile(wanted, seen, NOW).decisions:
        assert decision.action is None or decision.subject not in lost


def order_means_nothing(wanted: GroupDesired, seen: Observation) -> None:
    turned = Observation(at=seen.at, instances=seen.instances[::-1], last_ordinal=seen.last_ordinal)
    assert fleet.reconcile(wanted, seen, NOW).actions == fleet.reconcile(wanted, turned, NOW).actions


def no_more_than_wanted(wanted: GroupDesired, seen: Observation) -> None:
    launched = [each for each in fleet.reconcile(wanted, seen, NOW).actions if isinstance(each, Launch)]
    for cohort in wanted.cohorts:
        new = sum(1 for each in launched if each.release == cohort.release)
        assert new <= (cohort.count if cohort.launch else 0)
    assert len({each.instance for each in launched}) == len(launched)
    assert not {each.instance for each in launched} & {each.id for each in seen.instances}


def no_serving_instance_is_stopped(wanted: GroupDesired, seen: Observation) -> None:
    """What carries traffic is drained first: Stop, Kill and Terminate are for what doesn't, or has ended already."""
    alive = {
        each.id
        for each in seen.instances
        if carries(each, balanced=True) and each.run in (Run.RUNNING, Run.STARTING) and each.next_release is None
    }
    for action in fleet.reconcile(wanted, seen, NOW).actions:
        if isinstance(action, Stop | Kill | Terminate):
            assert action.instance not in alive


def rest_is_what_the_rules_say(wanted: GroupDesired, seen: Observation) -> None:
    """The short way of a group that needs nothing leads where the rules do. Most are made to be nearly at rest."""
    wanted = replace(wanted, cohorts=(Cohort(release=1, count=len(seen.instances)),))
    near = tuple(
        instance(each.id, zone="abc"[number % 3]) if number or seen.instances[0].check is Check.HEALTHY else each
        for number, each in enumerate(seen.instances)
    )
    gone = {"state": State.TERMINATED, "run": Run.STOPPED, "target": Target.UNUSED, "died": True}
    long_ago = instance("web-90", created_at=after(-9000), started_at=after(-9000), ended_at=after(-8000), **gone)
    for members in (near, seen.instances, (*near, long_ago), (*near, replace(long_ago, ended_at=after(-5)))):
        observed = replace(seen, instances=members)
        short, long = fleet.reconcile(wanted, observed, NOW), fleet.decide(wanted, observed, NOW, members)
        assert (short.actions, short.wake_at) == (long.actions, long.wake_at)


PROPERTIES = [
    unknown_is_left_alone,
    order_means_nothing,
    no_more_than_wanted,
    no_serving_instance_is_stopped,
    rest_is_what_the_rules_say,
]


@pytest.mark.parametrize("holds", PROPERTIES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(wanted=groups(), seen=instances())
def test_property(holds: Any, wanted: GroupDesired, seen: list[Instance]) -> None:
    holds(wanted, observation(*seen))


def without(*names: str) -> Any:
    return tuple(each for each in fleet.RULES if each.name not in names)


def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches once more than is missing."""
    whole = fleet.launches

    def more(*arguments: Any) -> Any:
        decisions, wake_at = whole(*arguments)
        return [*decisions, *decisions], wake_at

    monkeypatch.setattr(fleet, "launches", more)


SPOIL = {
    unknown_is_left_alone: lambda patch: patch.setattr(fleet, "RULES", without("unknown")),
    order_means_nothing: lambda patch: patch.setattr(fleet, "age", lambda each: 0),
    no_more_than_wanted: greedy,
    no_serving_instance_is_stopped: lambda patch: patch.setattr(fleet, "RULES", without("drain", "still needed")),
    rest_is_what_the_rules_say: lambda patch: patch.setattr(fleet, "at_rest", lambda *_: Plan()),
}


@pytest.mark.parametrize("holds", PROPERTIES)
def test_property_can_fail(holds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    SPOIL[holds](monkeypatch)

    @settings(
        max_examples=1000,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(wanted=groups(), seen=instances())
    def search(wanted: GroupDesired, seen: list[Instance]) -> None:
        holds(wanted, observation(*seen))

    with pytest.raises(AssertionError):
        search()
