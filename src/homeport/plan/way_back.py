"""A deployment's way back: the release before serves again everywhere, or nothing is left of a first one. Pure.

Called by `plan.deployment`."""

from datetime import datetime, timedelta

from msgspec.structs import replace

from homeport.model.deployment import Deployment, Ended, Evidence, Reverting, Verdict
from homeport.model.fleet import State
from homeport.plan import task
from homeport.plan.deployment_view import Step, View
from homeport.plan.trouble import trouble


def aborted(deployment: Deployment, *, by: str, why: str, at: datetime) -> Reverting:
    """The entry that takes a deployment back because a person says so."""
    lines: tuple[str, ...] = ()
    if deployment.task_exit_code is not None:
        lines = (f"the release task had ended with {deployment.task_exit_code}: what it changed stays changed",)
    evidence = Evidence(summary=f"by {by}: {why}", lines=lines)
    return Reverting(at=at, verdict=Verdict.ABORTED, evidence=evidence, by=by, why=why)


def end_task(v: View) -> Step | None:
    """A task that hangs ends here; until it has, it may be changing what the release before needs."""
    if not _task_was_cut(v) or v.task is None or v.task.ended:
        return None
    action, wake_at = task.ending(v.task, v.now)
    return Step(action=action, waits_for="the release task to end, which was told to", wake_at=wake_at)


def _task_was_cut(v: View) -> bool:
    """Whether the way back began while the release task ran."""
    return v.deployment.task_started_at is not None and v.deployment.task_exit_code is None


def _with_task(v: View, evidence: Evidence) -> Evidence:
    """And what became of a release task that ran when the way back began."""
    if not _task_was_cut(v) or v.task is None:
        return evidence
    said = "the release task was interrupted: what it did can't be known"
    if not v.task.interrupted:
        said = f"the release task ended with {v.task.exit_code}: what it changed stays changed"
    hint = evidence.hint or "look at what the release task changes, then: homeport deploy"
    return replace(evidence, summary=f"{evidence.summary}; {said}", lines=(*evidence.lines, *v.task.tail), hint=hint)


def back(v: View) -> Step | None:
    reverting = v.deployment.reverting
    assert reverting is not None
    previous = v.started.previous
    fresh = [
        each
        for each in v.observed.instances
        if each.app == v.started.app
        and each.release == previous
        and (each.started_at or each.created_at) >= reverting.at
    ]
    for each in fresh:
        if each.unheard == previous:
            continue  # it is replaced
        if found := trouble(each, since_at=reverting.at, grace=v.started.grace, baking_since_at=None):
            return _infrastructure(v, reverting, found)
    turns = [len(change.batches[: v.deployment.moved]) * change.turn for change in v.started.groups]
    late_at = reverting.at + 2 * v.started.grace + max(turns, default=timedelta())
    waiting = [
        change.name
        for change in v.started.groups
        if previous is not None and v.carrying(change.name, previous) < change.old_count
    ]
    if waiting and v.now >= late_at:
        return _infrastructure(v, reverting, f"{', '.join(waiting)} of r{previous} didn't come back in time")
    if waiting:
        return Step(waits_for=f"r{previous} to serve again in {', '.join(waiting)}", wake_at=late_at)
    spared = 1 if previous is None and reverting.verdict is not Verdict.ABORTED else 0
    left = [
        each
        for each in v.observed.instances
        if each.app == v.started.app
        and each.release == v.started.release
        and each.state not in (State.TERMINATED, State.STANDBY)
    ]
    if len(left) > spared * len(v.started.groups):
        return Step(waits_for=f"{len(left)} of r{v.started.release} to end")
    return Step(entry=Ended(at=v.now, verdict=reverting.verdict, evidence=_with_task(v, reverting.evidence)))


def _infrastructure(v: View, reverting: Reverting, found: str) -> Step:
    evidence = Evidence(
        summary=f"{reverting.evidence.summary}; and the release before fails as well: {found}",
        instance=reverting.evidence.instance,
        lines=reverting.evidence.lines,
        hint="the cause lies outside both releases (a database, a name, the machine): homeport events",
    )
    return Step(entry=Ended(at=v.now, verdict=Verdict.INFRASTRUCTURE, evidence=evidence))
