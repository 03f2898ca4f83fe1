"""Alarms that a platform file names: what is asked in the bake time, and what an answer means. Pure.

Rules of `plan.deployment`. A command runs in a one-off of the release, as an action of the deployment; the others are
asked by `control.alarm`, whose readings come with the view.
"""

import shlex
from collections.abc import Iterable
from datetime import datetime, timedelta

from homeport.model.action import RunTask
from homeport.model.alarm import Alarm, Reading
from homeport.model.canary import Answers
from homeport.model.deployment import Deployment, Evidence, Phase, Reverting, Verdict
from homeport.model.fleet import Task
from homeport.plan.canary import percentile
from homeport.plan.deployment_view import Step, View

EVERY = timedelta(seconds=1)
"""How often a URL, or a metric, is asked."""
IN_ROW = 2
"""So many answers in a row ring before the bake time ends; at its end the last one does."""
FRESH = timedelta(seconds=3)
"""An answer to what was asked so long before the end of the bake time still counts there."""
BOOT = timedelta(minutes=10)
"""A command that has been begun may have to wait so long for a machine to run on."""
TIMED_OUT = 124
"""The status by which `timeout` says so."""


def task_id(deployment: Deployment, alarm: Alarm) -> str:
    """Of the one-off in which the alarm's command runs: once."""
    number = deployment.started.alarms.index(alarm) + 1
    return f"{deployment.started.app}-alarm-d{deployment.started.number}-{number}"


def asked(deployment: Deployment) -> tuple[Alarm, ...]:
    """Those that are to be asked from outside just now, again and again."""
    if deployment.phase is not Phase.BAKE:
        return ()
    return tuple(each for each in deployment.started.alarms if each.command is None)


def metric_reading(alarm: Alarm, answers: Iterable[Answers], at: datetime) -> Reading:
    """What the answers of the new release's targets, in one or several groups, since the bake time began say."""
    all_ = list(answers)
    requests, errors = sum(each.requests for each in all_), sum(each.errors for each in all_)
    if requests < alarm.min_requests:
        few = f"{requests} requests were seen, expected {alarm.min_requests} at least"
        return Reading(alarm=alarm.name, at=at, unknown=few)
    if alarm.metric == "error_rate":
        assert alarm.above_share is not None
        share = errors / requests
        said = f"{100 * share:.3g}% of {requests} requests failed, expected {100 * alarm.above_share:.3g}% at most"
        return Reading(alarm=alarm.name, at=at, rings=said if share > alarm.above_share else "")
    assert alarm.above_ms is not None
    assert alarm.metric is not None
    worst = max((percentile(each, int(alarm.metric[1:])) for each in all_ if each.requests), default=0.0)
    said = f"{alarm.metric} is {worst:.3g} ms over {requests} requests, expected {alarm.above_ms:g} ms at most"
    return Reading(alarm=alarm.name, at=at, rings=said if worst > alarm.above_ms else "")


# --- rules ------------------------------------------------------------------------------------------------------------


def command(v: View) -> Step | None:
    """Each command is run once, when the bake time begins."""
    for alarm in v.started.alarms:
        if alarm.command is not None and _task(v, alarm) is None:
            seconds = f"{alarm.timeout.total_seconds():g}"
            line = shlex.join(("timeout", "--kill-after=2", seconds, "/bin/sh", "-c", alarm.command))
            run = RunTask(app=v.started.app, task=task_id(v.deployment, alarm), release=v.started.release, command=line)
            return Step(action=run, waits_for=f"the alarm {alarm.name}")
    return None


def rings(v: View) -> Step | None:
    for alarm in v.started.alarms:
        said, lines = _ringing(v, alarm)
        if said:
            evidence = Evidence(summary=f"the alarm {alarm.name} rings: {said}", lines=lines)
            return Step(entry=Reverting(at=v.now, verdict=Verdict.FAILED, evidence=evidence))
    return None


def unanswered(v: View) -> Step | None:
    """At the end of the bake time every alarm has been asked, or its own policy says what follows."""
    until_at = v.deployment.bake_until_at
    assert until_at is not None
    if not v.started.alarms:
        return None
    if v.now < until_at:
        return Step(waits_for="the bake time to end", wake_at=min(until_at, v.now + EVERY))
    for alarm in v.started.alarms:
        why = _unknown(v, alarm)
        if why is None and v.now < until_at + alarm.timeout + (BOOT if _goes_on(v, alarm) else timedelta()):
            return Step(waits_for=f"the alarm {alarm.name}", wake_at=v.now + EVERY / 4)
        if why != "" and alarm.unknown == "back":
            evidence = Evidence(
                summary=f"the alarm {alarm.name} can't be asked: {why or _last_reason(v, alarm)}",
                hint='unknown = "continue" in its [[deploy.alarms]] lets a release pass that can\'t be judged by it',
            )
            return Step(entry=Reverting(at=v.now, verdict=Verdict.INCONCLUSIVE, evidence=evidence))
    return None


def in_words(v: View) -> str:
    """For the verdict of a release that passed: what wasn't found out. Empty: nothing."""
    unknown = [(each, _unknown(v, each)) for each in v.started.alarms]
    return "".join(
        f"; the alarm {each.name} couldn't be asked: {why or _last_reason(v, each)}"
        for each, why in unknown
        if why != ""
    )


def _ringing(v: View, alarm: Alarm) -> tuple[str, tuple[str, ...]]:
    """Why it rings (empty: it doesn't), and what else there is to show."""
    until_at = v.deployment.bake_until_at
    if alarm.command is not None:
        task = _task(v, alarm)
        if task is None or task.lost or not task.exit_code:
            return "", ()
        took = f"took longer than {alarm.timeout.total_seconds():g} s"
        said = took if task.exit_code == TIMED_OUT else f"ended with status {task.exit_code}, expected 0"
        return f"`{alarm.command}` {said}", task.tail
    reading = _reading(v, alarm)
    if reading is None or not reading.rings:
        return "", ()
    over = until_at is not None and v.now >= until_at
    return (reading.rings, ()) if over or reading.in_row >= IN_ROW else ("", ())


def _unknown(v: View, alarm: Alarm) -> str | None:
    """Why it can't be told; empty: it can, None: it is being asked."""
    if alarm.command is not None:
        task = _task(v, alarm)
        if task is not None and task.lost:
            return "its command was interrupted"
        return None if task is None or task.exit_code is None else ""
    reading, until_at = _reading(v, alarm), v.deployment.bake_until_at
    if reading is None or until_at is None:
        return None
    # an answer from before it began to hang says nothing of the end; what wasn't known before it is asked once more
    return None if reading.at < (until_at if reading.unknown else until_at - FRESH) else reading.unknown


def _task(v: View, alarm: Alarm) -> Task | None:
    wanted = task_id(v.deployment, alarm)
    return next((each for each in v.observed.tasks if each.id == wanted), None)


def _goes_on(v: View, alarm: Alarm) -> bool:
    task = _task(v, alarm)
    return task is not None and not task.ended


def _reading(v: View, alarm: Alarm) -> Reading | None:
    return next((each for each in v.readings if each.alarm == alarm.name), None)


def _last_reason(v: View, alarm: Alarm) -> str:
    """Why it couldn't be told when it last could be asked."""
    reading = _reading(v, alarm)
    return (reading.unknown if reading is not None else "") or "no answer"
