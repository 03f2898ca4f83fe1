"""What Auto Scaling tells of its launches and ends, as instances for the deciders and as a past for `homeport why`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeport.engines.aws import answer
from homeport.engines.aws.activity import events, parse
from homeport.engines.aws.fleet import Pool
from homeport.model.fleet import Instance, Observation
from homeport.model.platform import Breaker
from homeport.model.why import Console
from homeport.plan import why
from homeport.plan.breaker import judge
from homeport.plan.cause import Past

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SHORT = "At 2026-01-01T11:00:00Z an instance was started in response to a difference between desired and actual"
GIVEN_UP = "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token 4d6c was abandoned: "
OUT = "an instance was taken out of service in response to"
ILL = f"At 2026-01-01T11:01:00Z {OUT} an ELB system health check failure."
BY_HAND = f"At 2026-01-01T11:01:00Z {OUT} an EC2 health check indicating it has been terminated or stopped."
ASKED = "At 2026-01-01T11:01:00Z instance i-0a was taken out of service in response to a user request."


def activity(description: str, status: str, minutes: float, **said: Any) -> dict[str, Any]:
    """So many minutes ago, for 30 s."""
    at = NOW - timedelta(minutes=minutes)
    found = {"ActivityId": f"{minutes}-4fd3", "Description": description, "StatusCode": status, "StartTime": at}
    return {**found, "EndTime": at + timedelta(seconds=30), "Cause": SHORT, **said}


def launch(instance: str, status: str, minutes: float, message: str = "") -> dict[str, Any]:
    return activity(f"Launching a new EC2 instance: {instance}", status, minutes, StatusMessage=message)


def end(instance: str, minutes: float, cause: str) -> dict[str, Any]:
    return activity(f"Terminating EC2 instance: {instance}", "Successful", minutes, Cause=cause)


def refused(minutes: float) -> dict[str, Any]:
    text = "Launching a new EC2 instance.  Status Reason: no capacity"
    return activity(text, "Failed", minutes, StatusMessage="no capacity. Launching EC2 instance failed.")


def gone(*said: dict[str, Any], known: tuple[str, ...] = (), since: datetime | None = None) -> list[Instance]:
    found = tuple(parse(each) for each in said)
    pool = Pool(name="p", app="shop", group="web", capacity=2, targets=(), members=(), activities=found)
    return list(answer.gone(pool, lambda: (3, since or NOW - timedelta(hours=2)), known, NOW))


def failures(history: list[Instance], release: int = 3) -> int:
    return judge(history, release, Breaker(), grace=timedelta(seconds=30), reset_at=None, now=NOW).failures


def test_what_ec2_refuses_are_launches_that_failed_until_one_goes_well() -> None:
    found = gone(refused(1), refused(2), launch("i-0b", "Successful", 3), refused(4))
    assert [(each.launched, each.release, each.reason) for each in found] == [
        (False, 3, "no capacity. Launching EC2 instance failed.")
    ] * 2
    assert failures(found) == 2
    together = [each | {"EndTime": each["StartTime"]} for each in (refused(1), refused(1))]
    assert failures(gone(*together)) == 1, "one attempt in two zones is one round"


def test_who_was_given_up_by_the_hook_without_a_word_has_failed() -> None:
    found = gone(launch("i-0a", "Cancelled", 2, GIVEN_UP + "Heartbeat Timeout"))
    assert [(each.id, each.died) for each in found] == [("i-0a", True)]
    assert "Heartbeat Timeout" in found[0].reason
    assert failures(found) == 1
    assert gone(launch("i-0a", "Cancelled", 2, GIVEN_UP), known=("i-0a",)) == [], "it told why, or lives"
    assert gone(launch("i-0a", "Cancelled", 2, "its capacity was taken back")) == []


def test_what_was_launched_before_its_release_was_wanted_is_nobodys_failure() -> None:
    found = gone(refused(1), refused(5), since=NOW - timedelta(minutes=3))
    assert [each.release for each in found] == [3, 0]
    assert failures(found) == 1


def test_what_is_long_past_isnt_asked_about() -> None:
    found = parse(refused(62))
    pool = Pool(name="p", app="shop", group="web", capacity=2, targets=(), members=(), activities=(found,))
    assert list(answer.gone(pool, lambda: pytest.fail("nobody needs to know"), (), NOW)) == []


@pytest.mark.parametrize(("cause", "count"), [(ILL, 1), (BY_HAND, 0), (ASKED, 0)])
def test_who_served_and_is_gone_counts_where_it_was_ill(cause: str, count: int) -> None:
    found = gone(end("i-0a", 1.2, cause), launch("i-0a", "Successful", 2))
    assert [(each.died, each.reason) for each in found] == [(count == 1, cause)]
    assert failures(found) == count


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((launch("i-0a", "Cancelled", 2, GIVEN_UP + "Heartbeat Timeout"),), ("hook gave it up", "Heartbeat Timeout")),
        ((end("i-0a", 1, ILL), launch("i-0a", "Successful", 2)), ("ELB system health check failure",)),
        ((end("i-0a", 1, BY_HAND), launch("i-0a", "Successful", 2)), ("terminated or stopped",)),
        ((end("i-0a", 1, ASKED), launch("i-0a", "Successful", 2)), ("a user request",)),
    ],
)
def test_why_of_one_that_is_gone(said: tuple[dict[str, Any], ...], told: tuple[str, ...]) -> None:
    told_of = sorted(events([parse(each) for each in said], "shop/production", "shop", "web"), key=lambda each: each.at)
    past = Past(environment="shop/production", observed=Observation(at=NOW), events=told_of, journals={})
    meant = why.subject(past, "i-0a", None)
    assert (meant.kind, meant.app) == ("instance", "shop")
    found = why.of_instance(past, "shop", "i-0a", "", Console(first=("console: no such program",)))
    text = repr(found.causes)
    assert all(each in text for each in told), text
    assert SHORT in text, "who wanted it"
    assert "no such program" in text
    assert found.unknown == ()


def test_why_of_a_launch_that_was_refused() -> None:
    told_of = list(events([parse(refused(1))], "shop/production", "shop", "web"))
    past = Past(environment="shop/production", observed=Observation(at=NOW), events=told_of, journals={})
    found = why.of_group(past, "shop", "web", why.Wanted(size="2 wanted"))
    assert "EC2 didn't launch it; no capacity" in repr(found.causes)
    assert why.subject(past, "launch-1-4fd3", None).kind == "instance"
