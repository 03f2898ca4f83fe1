"""The deployment decider: a state machine over a journal.

Pure. `next_steps` says which entry comes next, or what is waited for. What the entries so far stand for, and what each
group shall be meanwhile, says `plan.journal`; the fleet decider then brings that about. Nothing is done between two
entries that the entries before don't already say, so whoever reads the journal can go on.

Called by `control.deployment`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from msgspec.structs import replace

from homeport.model.action import Prepare, RunTask
from homeport.model.alarm import Reading
from homeport.model.canary import Answers
from homeport.model.deployment import (
    Baking,
    Deployment,
    Ended,
    Evidence,
    GroupChange,
    Moved,
    Paused,
    Phase,
    Prepared,
    Reverting,
    Staged,
    Switched,
    TaskEnded,
    TaskStarted,
    Verdict,
)
from homeport.model.fleet import Observation
from homeport.model.platform import Resolved
from homeport.plan import alarm, canary_step
from homeport.plan.batch import amount
from homeport.plan.deployment_view import Rule, Step, View
from homeport.plan.journal import moved_of
from homeport.plan.resize import resize
from homeport.plan.trouble import MAKE_ROOM, deadline, troubled
from homeport.plan.way_back import back, end_task

# --- prepare and task ------------------------------------------------------------------------------------------------


def _prepare(v: View) -> Step | None:
    release = v.started.release
    found = next((p for p in v.observed.prepared if p.app == v.started.app and p.release == release), None)
    if found is None:
        return Step(action=Prepare(app=v.started.app, release=release), waits_for=f"r{release} to be fetched")
    if found.failed:
        verdict, hint = (Verdict.INFRASTRUCTURE, MAKE_ROOM) if found.disk_full else (Verdict.FAILED, "")
        evidence = Evidence(summary=f"r{release} can't be used: {found.failed}", hint=hint)
        return Step(entry=Ended(at=v.now, verdict=verdict, evidence=evidence))
    return Step(entry=Prepared(at=v.now)) if found.ready else Step(waits_for=f"r{release} to be fetched")


def _task(v: View) -> Step | None:
    if v.deployment.task_started_at is None:
        return Step(entry=TaskStarted(at=v.now))
    task = v.task
    if task is None:
        assert v.started.task is not None
        run = RunTask(app=v.started.app, task=v.deployment.task_id, release=v.started.release, command=v.started.task)
        return Step(action=run, waits_for="the release task to end")
    if task.lost:
        summary = "the release task was interrupted: whether it finished can't be known"
        evidence = Evidence(summary=summary, lines=task.tail, hint="look at what it changes, then: homeport deploy")
        return Step(entry=Ended(at=v.now, verdict=Verdict.INCONCLUSIVE, evidence=evidence))
    if task.exit_code is None:
        return Step(waits_for="the release task to end")
    if task.exit_code != 0:
        evidence = Evidence(summary=f"the release task ended with status {task.exit_code}", lines=task.tail)
        return Step(entry=Ended(at=v.now, verdict=Verdict.FAILED, evidence=evidence))
    return Step(entry=TaskEnded(at=v.now, exit_code=0))


# --- what a person, or the clock, says -------------------------------------------------------------------------------


def _gate(v: View) -> Step | None:
    """A person is waited for once so many run the new release; where all of them move at once, before they do."""
    if v.started.pause_after is None or v.deployment.continued_at is not None:
        return None
    number = v.started.number
    if v.deployment.paused_at is not None:
        return Step(waits_for=f"a person: homeport deployment continue {number}, or homeport deployment abort {number}")
    moved = sum(moved_of(v.deployment, each) for each in v.started.groups if each.in_place)
    goal = sum(each.new_count for each in v.started.groups if each.in_place)
    if goal:
        if moved < min(goal, max(1, amount(v.started.pause_after, goal, up=True))):
            return None
        return _wait(v, _turning(v)) or Step(entry=Paused(at=v.now, reached=f"{moved} of {goal} run the new release"))
    if _share_reached(v):
        return Step(entry=Paused(at=v.now, reached=f"{v.deployment.step_percent}% of the requests go to it"))
    if v.deployment.switched_at is not None or _later_stages(v) or canary_step.due(v):
        return None
    share = f"{v.deployment.step_percent}%" if v.deployment.step else "none"
    return _wait_for_all(v) or Step(
        entry=Paused(at=v.now, reached=f"the new instances are up and get {share} of the requests")
    )


def _share_reached(v: View) -> bool:
    """A canary pauses after the step whose share of the requests is the stated one."""
    said = v.started.pause_after
    judged = 0 < v.deployment.step == v.deployment.judged
    return isinstance(said, str) and judged and v.deployment.step_percent >= amount(said, 100, up=True)


def _timeout_at(v: View) -> datetime | None:
    """What it is told to wait for doesn't count."""
    if v.started.timeout is None or v.deployment.waits_at_gate:
        return None
    pauses = sum((each.pause for each in v.started.steps), start=timedelta())
    timeout_at = v.started.at + v.started.timeout + v.started.bake + pauses
    if v.deployment.paused_at is not None and v.deployment.continued_at is not None:
        timeout_at += v.deployment.continued_at - v.deployment.paused_at
    return timeout_at


def _overdue(v: View) -> Step | None:
    timeout_at = _timeout_at(v)
    if v.started.timeout is None or timeout_at is None or v.now < timeout_at:
        return None
    evidence = Evidence(
        summary=f"it took longer than {v.started.timeout.total_seconds():g} s",
        hint="[deploy] timeout in homeport.toml says how long it may take",
    )
    return Step(entry=Reverting(at=v.now, verdict=Verdict.FAILED, evidence=evidence))


def _canary(v: View) -> Step | None:
    if not canary_step.due(v):
        return None
    begun = [change for change in v.started.groups if change.stage <= v.deployment.stage and not change.in_place]
    return canary_step.step(v) or _wait(v, begun) or canary_step.begin(v)


# --- launch, switch, bake --------------------------------------------------------------------------------------------


def _turning(v: View) -> list[GroupChange]:
    """The groups of the present stage that change in place."""
    return [change for change in v.started.groups if change.in_place and change.stage == v.deployment.stage]


def _lack(v: View, change: GroupChange) -> int:
    """How many of the new release's instances a group should have by now that aren't well yet, before the switch."""
    if change.in_place:
        return moved_of(v.deployment, change) - v.carrying(change.name, v.started.release)
    stay = min(change.old_count, change.new_count) if change.kept else 0
    return change.new_count - stay - v.healthy(change.name)


def _wait(v: View, changes: list[GroupChange]) -> Step | None:
    lacks = [f"{lack} of {change.name}" for change in changes if (lack := _lack(v, change)) > 0]
    return Step(waits_for=f"{', '.join(lacks)} to become healthy", wake_at=deadline(v)) if lacks else None


def _first_batch(v: View) -> Step | None:
    return _moved(v, 1) if v.deployment.moved == 0 and _turning(v) else None


def _moved(v: View, batch: int) -> Step:
    groups = {change.name: change.batches[:batch][-1] for change in _turning(v)}
    return Step(entry=Moved(at=v.now, batch=batch, groups=groups))


def _later_stages(v: View) -> set[int]:
    return {change.stage for change in v.started.groups if change.stage > v.deployment.stage}


def _next_stage(v: View) -> Step | None:
    later = _later_stages(v)
    if not later:
        return None
    if (step := _next_batch(v)) is not None:
        return step
    begun = [change for change in v.started.groups if change.stage <= v.deployment.stage]
    names = tuple(change.name for change in v.started.groups if change.stage == min(later))
    return _wait(v, begun) or Step(entry=Staged(at=v.now, stage=min(later), groups=names))


def _switch(v: View) -> Step | None:
    if v.deployment.switched_at is not None:
        return None
    return _wait_for_all(v) or Step(entry=Switched(at=v.now))


def _wait_for_all(v: View) -> Step | None:
    """Until everything is up that must be when traffic moves. Groups without targets needn't be where nobody is served
    yet, nor where what takes over was good before: they are waited for before the bake time."""
    only_targets = v.started.previous is None or any(each.aside is not None for each in v.started.groups)
    return _wait(v, [each for each in v.started.groups if not only_targets or each.name in v.balanced])


def _next_batch(v: View) -> Step | None:
    changes = _turning(v)
    for change in changes:
        if (lack := _lack(v, change)) > 0:
            return Step(waits_for=f"{lack} of {change.name} to serve r{v.started.release}", wake_at=deadline(v))
    last = max((len(change.batches) for change in changes), default=0)
    return _moved(v, v.deployment.moved + 1) if v.deployment.moved < last else None


def _bake(v: View) -> Step | None:
    for change in v.started.groups:
        lack = change.new_count - v.carrying(change.name, v.started.release)
        if lack > 0:
            return Step(waits_for=f"{lack} of {change.name} to serve r{v.started.release}", wake_at=deadline(v))
    return Step(entry=Baking(at=v.now, until_at=v.now + v.started.bake))


def _good(v: View) -> Step | None:
    until_at = v.deployment.bake_until_at
    assert until_at is not None
    if v.now < until_at:
        return Step(waits_for="the bake time to end", wake_at=until_at)
    for change in v.started.groups:
        if v.carrying(change.name, v.started.release) < change.new_count:
            return Step(waits_for=f"all of {change.name} to serve r{v.started.release}")
    summary = f"r{v.started.release} serves everywhere"
    if v.deployment.inconclusive:
        steps = ", ".join(str(each) for each in v.deployment.inconclusive)
        summary += f"; too little was seen to judge the canary in step {steps}"
    summary += alarm.in_words(v)
    return Step(entry=Ended(at=v.now, verdict=Verdict.GOOD, evidence=Evidence(summary=summary)))


RULES: tuple[Rule, ...] = (
    Rule(name="timeout", phases=(Phase.PREPARE, Phase.TASK, Phase.LAUNCH, Phase.BAKE), then=_overdue),
    Rule(name="scaled", phases=(Phase.PREPARE, Phase.TASK, Phase.LAUNCH, Phase.BAKE), then=resize),
    Rule(name="prepare", phases=(Phase.PREPARE,), then=_prepare),
    Rule(name="release task", phases=(Phase.TASK,), then=_task),
    Rule(name="trouble", phases=(Phase.LAUNCH,), then=troubled),
    Rule(name="gate", phases=(Phase.LAUNCH,), then=_gate),
    Rule(name="canary", phases=(Phase.LAUNCH,), then=_canary),
    Rule(name="first batch", phases=(Phase.LAUNCH,), then=_first_batch),
    Rule(name="next stage", phases=(Phase.LAUNCH,), then=_next_stage),
    Rule(name="switch", phases=(Phase.LAUNCH,), then=_switch),
    Rule(name="next batch", phases=(Phase.LAUNCH,), then=_next_batch),
    Rule(name="bake", phases=(Phase.LAUNCH,), then=_bake),
    Rule(name="trouble in the bake time", phases=(Phase.BAKE,), then=troubled),
    Rule(name="alarm", phases=(Phase.BAKE,), then=alarm.rings),
    Rule(name="alarm's command", phases=(Phase.BAKE,), then=alarm.command),
    Rule(name="alarm without an answer", phases=(Phase.BAKE,), then=alarm.unanswered),
    Rule(name="good", phases=(Phase.BAKE,), then=_good),
    Rule(name="release task ends", phases=(Phase.REVERTING,), then=end_task),
    Rule(name="way back", phases=(Phase.REVERTING,), then=back),
)


def next_steps(
    deployment: Deployment,
    observed: Observation,
    balanced: frozenset[str],
    now: datetime,
    *,
    measured_at: datetime | None = None,
    measured: Mapping[str, tuple[Answers, Answers]] = MappingProxyType({}),
    readings: tuple[Reading, ...] = (),
    resolved: Mapping[int, Resolved] = MappingProxyType({}),
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Step:
    """The next step of a deployment. Ended: nothing. `measured`: what `canary_step.look_at` asks for, see `View`;
    `readings`: of those that `alarm.asked` names. Without `resolved`, nobody can have scaled."""
    view = View(
        deployment=deployment,
        observed=observed,
        balanced=balanced,
        now=now,
        measured_at=measured_at,
        measured=measured,
        readings=readings,
        resolved=resolved,
        sizes=sizes,
    )
    for rule in RULES:
        if deployment.phase in rule.phases and (step := rule.then(view)) is not None:
            timeout_at = _timeout_at(view) if deployment.reverting is None else None
            moments = [each for each in (step.wake_at, timeout_at) if each is not None]
            return replace(step, rule=rule.name, wake_at=min(moments, default=None))
    return Step(waits_for="nothing")
