"""The steps of a canary: its share of the requests rises, and each step is judged. Pure. Rules of `plan.deployment`."""

from datetime import datetime

from homeport.model.deployment import Deployment, Evidence, GroupChange, Judged, Reverting, Shared, Verdict, Watched
from homeport.plan.canary import FALSE_ALARMS, LOOKS, Finding, compare
from homeport.plan.deployment_view import Step, View


def canaries(deployment: Deployment) -> list[GroupChange]:
    """The groups that get their share step by step."""
    return [change for change in deployment.started.groups if change.canary]


def look_at(deployment: Deployment, now: datetime) -> datetime | None:
    """Until when the answers of the present step count; None: there is nothing to look at yet. Only the stated moments,
    so that a decider which is asked more often doesn't test more often."""
    if deployment.step_since_at is None or deployment.step_until_at is None or deployment.judged == deployment.step:
        return None
    part = (deployment.step_until_at - deployment.step_since_at) / LOOKS
    looks = min(LOOKS, (now - deployment.step_since_at) // part)
    return deployment.step_since_at + looks * part if looks else None


def due(v: View) -> bool:
    """Whether it is the canary's turn: all groups that come before, and its own, have begun."""
    stages = {change.stage for change in canaries(v.deployment)}
    if v.deployment.switched_at is not None or not stages or v.deployment.stage != max(stages):
        return False
    return v.deployment.judged < len(v.started.steps)


def step(v: View) -> Step | None:
    """What comes next in the present step; None: the next one may begin."""
    deployment = v.deployment
    if deployment.judged == deployment.step:
        return None
    if deployment.step_until_at is None:
        return _watch(v)
    findings = {change.name: _finding(v, change) for change in canaries(deployment)}
    for name, finding in findings.items():
        if finding.worse:
            summary = f"{name} with {v.started.steps[deployment.step - 1].percent}% of the requests: {finding.worse}"
            return Step(entry=Reverting(at=v.now, verdict=Verdict.FAILED, evidence=Evidence(summary=summary)))
    if v.now < deployment.step_until_at or look_at(deployment, v.now) != v.measured_at:
        return Step(waits_for="the canary's step to end", wake_at=_next_look_at(deployment, v.now))
    few = "; ".join(f"{name}: {finding.few}" for name, finding in findings.items() if finding.few)
    if few and v.started.inconclusive == "back":
        evidence = Evidence(
            summary=f"the canary can't be judged: {few}",
            hint='longer pauses, fewer min_requests, or inconclusive = "continue" in [deploy]',
        )
        return Step(entry=Reverting(at=v.now, verdict=Verdict.INCONCLUSIVE, evidence=evidence))
    return Step(entry=Judged(at=v.now, step=deployment.step, few=few))


def begin(v: View) -> Step:
    """The next step."""
    number = v.deployment.step + 1
    return Step(entry=Shared(at=v.now, step=number, percent=v.started.steps[number - 1].percent))


def _watch(v: View) -> Step:
    """Once the instances of all of them serve: to let the balancer know may take longer than a pause."""
    release = v.started.release
    lacks = {each.name: each.new_count - v.carrying(each.name, release) for each in canaries(v.deployment)}
    lack = ", ".join(f"{count} of {name}" for name, count in lacks.items() if count > 0)
    if lack:
        return Step(waits_for=f"{lack} to serve r{release}")
    return Step(entry=Watched(at=v.now, until_at=v.now + v.started.steps[v.deployment.step - 1].pause))


def _finding(v: View, change: GroupChange) -> Finding:
    if v.measured_at is None or change.name not in v.measured:
        return Finding(few="nothing was measured")
    old, new = v.measured[change.name]
    tests = 2 * LOOKS * len(v.started.steps) * len(canaries(v.deployment))
    return compare(old, new, alpha=FALSE_ALARMS / tests, least=v.started.min_requests)


def _next_look_at(deployment: Deployment, now: datetime) -> datetime | None:
    assert deployment.step_since_at is not None
    assert deployment.step_until_at is not None
    part = (deployment.step_until_at - deployment.step_since_at) / LOOKS
    return min(
        deployment.step_until_at, deployment.step_since_at + ((now - deployment.step_since_at) // part + 1) * part
    )
