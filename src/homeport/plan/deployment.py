"""The deployment decider: a state machine over a journal.

Pure. `next_steps` says which entry comes next, or what is waited for. What the entries so far stand for, and what each
group shall be meanwhile, says `plan.journal`; the fleet decider then brings that about. Nothing is done between two
entries that the entries before don't already say, so whoever reads the journal can go on.

Called by `control.deployment`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.deployment import (
    Baking,
    Deployment,
    Ended,
    Entry,
    Evidence,
    GroupChange,
    Moved,
    Phase,
    Prepared,
    Reverting,
    Staged,
    Started,
    Switched,
    TaskEnded,
    TaskStarted,
    Verdict,
)
from homeport.model.fleet import Action, Check, Instance, Observation, Prepare, Run, RunTask, State
from homeport.plan.journal import moved_of
from homeport.plan.member import carries

CRASH_LOOP_EXITS = 3
"""So many exits of one process before its instance was ever healthy, and the release is refused without waiting."""


class Step(Struct, frozen=True, kw_only=True):
    """`entry`: to be journalled before anything else happens. `action`: to be executed. Neither: `waits_for` says why.
    `blames`: the instance whose last words belong into the entry's evidence."""

    entry: Entry | None = None
    action: Action | None = None
    waits_for: str = ""
    wake_at: datetime | None = None
    blames: str = ""


class View(Struct, frozen=True, kw_only=True):
    """All that a rule may look at."""

    deployment: Deployment
    observed: Observation
    balanced: frozenset[str]
    """Names of the groups whose instances are targets."""
    now: datetime

    @property
    def started(self) -> Started:
        return self.deployment.started

    def members(self, group: str, release: int | None) -> list[Instance]:
        """Instances of the release in the group that are neither ended nor between generations."""
        return [
            each
            for each in self.observed.instances
            if each.app == self.started.app
            and each.group == group
            and each.release == release
            and each.next_release is None
            and each.state not in (State.TERMINATED, State.TERMINATING)
            and each.run is not Run.STOPPED
        ]

    def healthy(self, group: str) -> int:
        return sum(1 for each in self.members(group, self.started.release) if each.check is Check.HEALTHY)

    def carrying(self, group: str, release: int | None) -> int:
        balanced = group in self.balanced
        return sum(1 for each in self.members(group, release) if carries(each, balanced=balanced))


class Rule(Struct, frozen=True, kw_only=True):
    """`phase`: where it applies. `then` answers None where the rule doesn't fit; the first answer counts."""

    name: str
    phase: Phase
    then: Callable[[View], Step | None]


# --- prepare and task ------------------------------------------------------------------------------------------------


def _prepare(v: View) -> Step | None:
    release = v.started.release
    found = next((p for p in v.observed.prepared if p.app == v.started.app and p.release == release), None)
    if found is None:
        return Step(action=Prepare(app=v.started.app, release=release), waits_for=f"r{release} to be fetched")
    if found.failed:
        evidence = Evidence(summary=f"r{release} can't be used: {found.failed}")
        return Step(entry=Ended(at=v.now, verdict=Verdict.FAILED, evidence=evidence))
    return Step(entry=Prepared(at=v.now)) if found.ready else Step(waits_for=f"r{release} to be fetched")


def _task(v: View) -> Step | None:
    if v.deployment.task_started_at is None:
        return Step(entry=TaskStarted(at=v.now))
    task = next((each for each in v.observed.tasks if each.id == v.deployment.task_id), None)
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


# --- trouble ---------------------------------------------------------------------------------------------------------


def trouble(instance: Instance, *, since_at: datetime, grace: timedelta, baking_since_at: datetime | None) -> str:
    """Why an instance speaks against its release; empty: it doesn't. Unknown never does."""
    if instance.ended_at is not None and instance.ended_at < since_at:
        return ""
    if instance.died:
        return f"{instance.id} ended by itself" + (f": {instance.reason}" if instance.reason else "")
    if _abandoned(instance):
        said = f": {instance.hook.said}" if instance.hook is not None and instance.hook.said else ""
        return f"the launching hook of {instance.id} doesn't let it go on{said}"
    if instance.state in (State.TERMINATED, State.TERMINATING) or instance.run is Run.UNKNOWN:
        return ""
    for process in instance.processes:
        if baking_since_at is None and process.exits >= CRASH_LOOP_EXITS and instance.check is not Check.HEALTHY:
            return f"{process.name} of {instance.id} keeps ending: {process.last_exit}"
        again = process.since_at is None or (baking_since_at is not None and process.since_at >= baking_since_at)
        if baking_since_at is not None and process.exits > 0 and again:
            return f"{process.name} of {instance.id} ended while it was watched: {process.last_exit}"
    if baking_since_at is not None and instance.check is Check.UNHEALTHY:
        return f"{instance.id} became unhealthy while it was watched"
    return ""


def _abandoned(instance: Instance) -> bool:
    """By its hook's word, or by the fleet for want of one."""
    if instance.hook is None or instance.in_service_at is not None:
        return False
    ends = instance.state in (State.TERMINATING, State.TERMINATED)
    return instance.hook.result == "ABANDON" or (instance.hook.result is None and ends)


def overdue_at(instance: Instance, grace: timedelta) -> datetime:
    return (instance.started_at or instance.created_at) + grace


def _troubled(v: View) -> Step | None:
    baking_since_at = None
    if v.deployment.bake_until_at is not None:
        baking_since_at = v.deployment.bake_until_at - v.started.bake
    for each in v.observed.instances:
        if each.app != v.started.app or each.release != v.started.release:
            continue
        if (each.started_at or each.created_at) < v.started.at:  # inherited: what it does was no news to anybody
            continue
        found = trouble(
            each, since_at=v.started.at, grace=v.started.grace, baking_since_at=baking_since_at
        ) or _never_healthy(v, each)
        if found:
            evidence = Evidence(summary=found, instance=each.id)
            return Step(entry=Reverting(at=v.now, verdict=Verdict.FAILED, evidence=evidence), blames=each.id)
    return None


def _never_healthy(v: View, each: Instance) -> str:
    if each.check is Check.HEALTHY or each.state is not State.PENDING:
        return ""
    if each.run in (Run.UNKNOWN, Run.STARTING):  # its code is still being copied: the app's time hasn't begun
        return ""
    if each.run is Run.STOPPED:  # and not dead: its launch was interrupted, and another takes its place
        return ""
    if each.check is Check.UNKNOWN or v.now < overdue_at(each, v.started.grace):
        return ""
    return f"{each.id} wasn't healthy within {v.started.grace.total_seconds():g} s"


def _deadline(v: View) -> datetime | None:
    pending = [
        overdue_at(each, v.started.grace)
        for each in v.observed.instances
        if each.app == v.started.app and each.release == v.started.release and each.state is State.PENDING
    ]
    return min((each for each in pending if each > v.now), default=None)


# --- launch, switch, bake --------------------------------------------------------------------------------------------


def _turning(v: View) -> list[GroupChange]:
    """The groups of the present stage that change in place."""
    return [change for change in v.started.groups if change.in_place and change.stage == v.deployment.stage]


def _lack(v: View, change: GroupChange) -> int:
    """How many of the new release's instances a group should have by now that aren't well yet, before the switch."""
    if change.in_place:
        wanted = min(moved_of(v.deployment, change), change.new_count)
        return wanted - v.carrying(change.name, v.started.release)
    stay = min(change.old_count, change.new_count) if change.kept else 0
    return change.new_count - stay - v.healthy(change.name)


def _wait(v: View, changes: list[GroupChange]) -> Step | None:
    lacks = [f"{lack} of {change.name}" for change in changes if (lack := _lack(v, change)) > 0]
    return Step(waits_for=f"{', '.join(lacks)} to become healthy", wake_at=_deadline(v)) if lacks else None


def _first_batch(v: View) -> Step | None:
    if v.deployment.moved == 0 and _turning(v):
        return Step(entry=Moved(at=v.now, count=v.started.max_unavailable))
    return None


def _next_stage(v: View) -> Step | None:
    later = {change.stage for change in v.started.groups if change.stage > v.deployment.stage}
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
    # Of a first release without targets: no traffic is taken from anybody; before the bake time they are waited for.
    first = v.started.previous is None
    return _wait(v, [each for each in v.started.groups if not first or each.name in v.balanced]) or Step(
        entry=Switched(at=v.now)
    )


def _next_batch(v: View) -> Step | None:
    changes = _turning(v)
    for change in changes:
        if (lack := _lack(v, change)) > 0:
            return Step(waits_for=f"{lack} of {change.name} to serve r{v.started.release}", wake_at=_deadline(v))
    goal = max((change.new_count for change in changes), default=0)
    if v.deployment.moved < goal:
        return Step(entry=Moved(at=v.now, count=min(goal, v.deployment.moved + v.started.max_unavailable)))
    return None


def _bake(v: View) -> Step | None:
    for change in v.started.groups:
        lack = change.new_count - v.carrying(change.name, v.started.release)
        if lack > 0:
            return Step(waits_for=f"{lack} of {change.name} to serve r{v.started.release}", wake_at=_deadline(v))
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
    return Step(entry=Ended(at=v.now, verdict=Verdict.GOOD, evidence=Evidence(summary=summary)))


# --- the way back ----------------------------------------------------------------------------------------------------


def _back(v: View) -> Step | None:
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
        if found := trouble(each, since_at=reverting.at, grace=v.started.grace, baking_since_at=None):
            return _infrastructure(v, reverting, found)
    late_at = reverting.at + 2 * v.started.grace
    waiting = [
        change.name
        for change in v.started.groups
        if previous is not None and v.carrying(change.name, previous) < change.old_count
    ]
    if waiting and v.now >= late_at:
        return _infrastructure(v, reverting, f"{', '.join(waiting)} of r{previous} didn't come back in time")
    if waiting:
        return Step(waits_for=f"r{previous} to serve again in {', '.join(waiting)}", wake_at=late_at)
    spared = 0 if previous is not None else 1
    left = [
        each
        for each in v.observed.instances
        if each.app == v.started.app
        and each.release == v.started.release
        and each.state not in (State.TERMINATED, State.STANDBY)
    ]
    if len(left) > spared * len(v.started.groups):
        return Step(waits_for=f"{len(left)} of r{v.started.release} to end")
    return Step(entry=Ended(at=v.now, verdict=reverting.verdict, evidence=reverting.evidence))


def _infrastructure(v: View, reverting: Reverting, found: str) -> Step:
    evidence = Evidence(
        summary=f"{reverting.evidence.summary}; and the release before fails as well: {found}",
        instance=reverting.evidence.instance,
        lines=reverting.evidence.lines,
        hint="the cause lies outside both releases (a database, a name, the machine): homeport events",
    )
    return Step(entry=Ended(at=v.now, verdict=Verdict.INFRASTRUCTURE, evidence=evidence))


RULES: tuple[Rule, ...] = (
    Rule(name="prepare", phase=Phase.PREPARE, then=_prepare),
    Rule(name="release task", phase=Phase.TASK, then=_task),
    Rule(name="trouble", phase=Phase.LAUNCH, then=_troubled),
    Rule(name="first batch", phase=Phase.LAUNCH, then=_first_batch),
    Rule(name="next stage", phase=Phase.LAUNCH, then=_next_stage),
    Rule(name="switch", phase=Phase.LAUNCH, then=_switch),
    Rule(name="next batch", phase=Phase.LAUNCH, then=_next_batch),
    Rule(name="bake", phase=Phase.LAUNCH, then=_bake),
    Rule(name="trouble in the bake time", phase=Phase.BAKE, then=_troubled),
    Rule(name="good", phase=Phase.BAKE, then=_good),
    Rule(name="way back", phase=Phase.REVERTING, then=_back),
)


def next_steps(deployment: Deployment, observed: Observation, balanced: frozenset[str], now: datetime) -> Step:
    """The next step of a deployment. Ended: nothing."""
    view = View(deployment=deployment, observed=observed, balanced=balanced, now=now)
    for rule in RULES:
        if rule.phase is deployment.phase and (step := rule.then(view)) is not None:
            return step
    return Step(waits_for="nothing")
