"""Alarms in the bake time: which answer takes a release back, which lets it pass, and what follows where there is none.
`tests/property/test_mutation.py` shows that every rule is needed by one of these."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from homeport.engines.memory.behaviour import Behaviour
from homeport.errors import Invalid
from homeport.model.action import RunTask
from homeport.model.alarm import Alarm, Reading
from homeport.model.canary import Answers
from homeport.model.deployment import Ended, Phase, Reverting, Verdict
from homeport.plan.alarm import metric_reading
from homeport.plan.canary import tally
from homeport.plan.deployment import next_steps
from homeport.plan.deployment_view import Step
from homeport.plan.platform import parse, resolve
from homeport.plan.procfile import Procfile
from homeport.testing.world import BETTER, GOOD, Controlled
from tests.memory_world import formation
from tests.unit.control.test_deployment import up

SMOKE = Alarm(name="smoke", command="./smoke --all", timeout=timedelta(seconds=5))
NOBODY = Alarm(name="shop", url="http://127.0.0.1:9/", timeout=timedelta(seconds=1))
"""Nobody listens there."""


def deployed(path: Path, *alarms: Alarm, **behaviour: Any) -> Controlled:
    world = up(path, {BETTER: formation(alarms=alarms)}, {BETTER: Behaviour(**behaviour)})
    world.deploy(BETTER)
    return world


def evidence(world: Controlled) -> str:
    assert world.newest.ended is not None
    return world.newest.ended.evidence.summary


def check_a_command_that_fails(path: Path) -> None:
    world = deployed(path, SMOKE, alarm_exit_code=3)
    assert world.verdict() is Verdict.FAILED
    assert evidence(world) == "the alarm smoke rings: `./smoke --all` ended with status 3, expected 0"
    world.quiet()
    assert [release for _, release in world.serving()] == [GOOD, GOOD]


def check_a_command_that_is_well(path: Path) -> None:
    world = deployed(path, SMOKE)
    assert world.verdict() is Verdict.GOOD
    assert evidence(world) == "r2 serves everywhere"
    (run,) = [each for each in world.recorder.actions if isinstance(each, RunTask) and "alarm" in each.task]
    assert (run.task, run.release) == ("plain-alarm-d2-1", BETTER)
    assert run.command == "timeout --kill-after=2 5 /bin/sh -c './smoke --all'"


def check_one_that_cannot_be_asked(path: Path) -> None:
    world = deployed(path, NOBODY)
    assert world.verdict() is Verdict.INCONCLUSIVE
    assert evidence(world).startswith("the alarm shop can't be asked: ")
    world.quiet()
    assert [release for _, release in world.serving()] == [GOOD, GOOD]


def check_one_that_need_not_be_asked(path: Path) -> None:
    world = deployed(path, replace(NOBODY, unknown="continue"))
    assert world.verdict() is Verdict.GOOD
    assert evidence(world).startswith("r2 serves everywhere; the alarm shop couldn't be asked: ")


CHECKS: tuple[Callable[[Path], None], ...] = (
    check_a_command_that_fails,
    check_a_command_that_is_well,
    check_one_that_cannot_be_asked,
    check_one_that_need_not_be_asked,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_alarm(check: Callable[[Path], None], tmp_path: Path) -> None:
    check(tmp_path)


@pytest.mark.parametrize("ticks", range(20, 90, 10))
def test_control_dies_while_it_asks(tmp_path: Path, ticks: int) -> None:
    world = deployed(tmp_path, SMOKE, task_seconds=0.3)
    for _ in range(ticks):
        world.world.pause(world.control.tick())
    world.restarted()
    assert world.verdict() is Verdict.GOOD
    runs = [each for each in world.recorder.actions if isinstance(each, RunTask) and "alarm" in each.task]
    assert {each.task for each in runs} == {"plain-alarm-d2-1"}


def at_end(path: Path, alarm: Alarm, *readings: Reading, later: float = 0, ago: float = 0) -> Step:
    """What comes `later` seconds after the end of the bake time, with readings of `ago` seconds before it."""
    world = up(path, {BETTER: formation(alarms=(alarm,), bake=timedelta(seconds=20))})
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    until_at = world.newest.bake_until_at
    assert until_at is not None
    observed = world.world.engine.observe(world.world.place.id)
    seen = tuple(replace(each, at=until_at - timedelta(seconds=ago)) for each in readings)
    now = until_at + timedelta(seconds=later)
    return next_steps(world.newest, observed, frozenset({"web"}), now, readings=seen)


def reading(world_at: Any = None, **fields: Any) -> Reading:
    return Reading(**{"alarm": "shop", "at": world_at, **fields})


def test_rings_twice_in_a_row_or_at_the_end(tmp_path: Path) -> None:
    for number, (later, in_row, rings) in enumerate([(-5, 1, False), (-5, 2, True), (0, 1, True)]):
        step = at_end(tmp_path / str(number), NOBODY, reading(rings="GET answers 500", in_row=in_row), later=later)
        assert isinstance(step.entry, Reverting) is rings, (later, in_row)
        if isinstance(step.entry, Reverting):
            assert step.entry.verdict is Verdict.FAILED
            assert step.entry.evidence.summary == "the alarm shop rings: GET answers 500"


def test_the_end_waits_for_an_answer_that_is_fresh(tmp_path: Path) -> None:
    assert isinstance(at_end(tmp_path / "1", NOBODY, reading(), ago=1).entry, Ended)
    step = at_end(tmp_path / "2", NOBODY, reading(), ago=5)
    assert (step.entry, step.waits_for) == (None, "the alarm shop")
    step = at_end(tmp_path / "3", NOBODY, reading(), ago=5, later=1)
    assert isinstance(step.entry, Reverting)
    assert step.entry.verdict is Verdict.INCONCLUSIVE


def test_what_was_not_known_is_asked_once_more_at_the_end(tmp_path: Path) -> None:
    """A metric was last asked when the bake time had just begun, and nothing could be seen yet: control was held up."""
    few = reading(unknown="0 requests were seen, expected 20 at least")
    step = at_end(tmp_path / "1", NOBODY, few, ago=0.1)
    assert (step.entry, step.waits_for) == (None, "the alarm shop")
    for name, ago, later in (("2", 0.1, 1), ("3", 0, 0)):
        step = at_end(tmp_path / name, NOBODY, few, ago=ago, later=later)
        assert isinstance(step.entry, Reverting)
        assert step.entry.verdict is Verdict.INCONCLUSIVE
        assert step.entry.evidence.summary == f"the alarm shop can't be asked: {few.unknown}"
    passing = replace(NOBODY, unknown="continue")
    step = at_end(tmp_path / "4", passing, few, ago=0.1, later=1)
    assert isinstance(step.entry, Ended)
    assert few.unknown in step.entry.evidence.summary


SLOW = Alarm(name="slow", metric="p99", above_ms=100)
ERRORS = Alarm(name="errors", metric="error_rate", above_share=0.05)


def answers(requests: int, errors: int = 0, milliseconds: int = 10) -> Answers:
    return tally((number < errors, milliseconds) for number in range(requests))


@pytest.mark.parametrize(
    ("alarm", "seen", "rings", "unknown"),
    [
        (ERRORS, [answers(100, 5)], "", ""),
        (ERRORS, [answers(50, 3), answers(50, 3)], "6% of 100 requests failed, expected 5% at most", ""),
        (ERRORS, [answers(19, 19)], "", "19 requests were seen, expected 20 at least"),
        (ERRORS, [], "", "0 requests were seen, expected 20 at least"),
        (SLOW, [answers(100)], "", ""),
        (SLOW, [answers(100), answers(100, milliseconds=400)], "p99 is 381 ms over 200 requests, expected 100 ms", ""),
        (SLOW, [answers(100, milliseconds=400)], "p99 is 381 ms over 100 requests, expected 100 ms at most", ""),
    ],
)
def test_metric(alarm: Alarm, seen: list[Answers], rings: str, unknown: str) -> None:
    found = metric_reading(alarm, seen, None)  # type: ignore[arg-type]
    assert found.rings.startswith(rings)
    assert bool(found.rings) is bool(rings)
    assert found.unknown == unknown


FILE = 'app = "shop"\n[groups.web]\n[groups.jobs]\nrun = ["worker"]\n[[deploy.alarms]]\n'
PROCESSES = Procfile(processes={"web": "serve", "worker": "work"})


def alarms(text: str) -> tuple[Alarm, ...]:
    file = parse(FILE + text)
    return resolve(file, environment="staging", app="shop", procfile=PROCESSES).deploy.alarms


def test_the_file_says_it() -> None:
    text = 'url = "https://example.net/checkout"\nname = "checkout"\ntimeout = "5s"\nunknown = "continue"\n'
    text += '[[deploy.alarms]]\nmetric = "error_rate"\nabove = "0.5%"\n'
    text += '[[deploy.alarms]]\nmetric = "p99"\nabove = "1.5s"\ngroup = "web"\nmin_requests = 5\n'
    url = Alarm(name="checkout", url="https://example.net/checkout", timeout=timedelta(seconds=5), unknown="continue")
    assert alarms(text) == (
        url,
        Alarm(name="alarm-2", metric="error_rate", above_share=0.005),
        Alarm(name="alarm-3", metric="p99", above_ms=1500, group="web", min_requests=5),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected one of url, command, metric, found none"),
        ('url = "http://x/"\ncommand = "y"', "expected one of url, command, metric, found url and command"),
        ('url = "example.net"', 'expected a URL such as "https://example.net/checkout"'),
        ('url = "http://x/"\nabove = "1%"', "above: of metrics only, and this is a url"),
        ('metric = "error_rate"', 'above: expected a share of the requests such as "1%" or "0.5%", found nothing'),
        ('metric = "error_rate"\nabove = "500ms"', 'such as "1%" or "0.5%", found "500ms"'),
        ('metric = "p99"\nabove = "1%"', 'expected a response time such as "500ms", found "1%"'),
        ('metric = "p42"\nabove = "1s"', "p42"),
        ('metric = "p99"\nabove = "1s"\ngroup = "jobs"', 'no group "jobs" gets requests'),
        ('command = "x"\ntimeout = "0s"', "timeout"),
        ('command = "x"\nunknown = "maybe"', "unknown"),
        ('name = "a"\ncommand = "x"\n[[deploy.alarms]]\nname = "a"\ncommand = "y"', 'another alarm is called "a"'),
    ],
)
def test_mistakes_are_named(text: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        alarms(text)
    assert problem in "; ".join((caught.value.message, *caught.value.details))
    assert len(caught.value.details) == 1


def test_a_groups_own_table_has_none() -> None:
    with pytest.raises(Invalid) as caught:
        parse(FILE + 'command = "x"\n[[groups.web.deploy.alarms]]\ncommand = "y"\n')
    assert "it is one for all groups" in "; ".join(caught.value.details)
