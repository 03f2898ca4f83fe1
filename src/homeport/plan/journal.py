"""A deployment's journal: what its entries stand for, and what each group shall be meanwhile.

Pure. Called by `plan.deployment`, `control.deployment` and `control.environment`.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from typing import assert_never

from msgspec.structs import replace

from homeport.model.canary import Share
from homeport.model.deployment import (
    Baking,
    Continued,
    Deployment,
    Ended,
    Entry,
    GroupChange,
    Judged,
    Moved,
    Paused,
    Phase,
    Prepared,
    Progress,
    Resized,
    Reverting,
    Shared,
    Staged,
    Started,
    Switched,
    TaskEnded,
    TaskStarted,
    Verdict,
    Watched,
)
from homeport.model.fleet import Cohort


def fold(entries: Sequence[Entry]) -> Deployment:
    """The state that a journal stands for. The first entry is `Started`; raises ValueError otherwise."""
    if not entries or not isinstance(entries[0], Started):
        raise ValueError("a journal begins with Started")
    return reduce(apply, entries[1:], Deployment(started=entries[0]))


def apply(deployment: Deployment, entry: Entry) -> Deployment:
    """The state after one more entry."""
    match entry:
        case Started():
            raise ValueError("a journal has one Started")
        case Prepared():
            if deployment.started.task is not None:
                return replace(deployment, phase=Phase.TASK)
            return replace(deployment, phase=Phase.LAUNCH, launch_at=entry.at)
        case TaskStarted():
            return replace(deployment, task_started_at=entry.at)
        case TaskEnded():
            return replace(deployment, phase=Phase.LAUNCH, task_exit_code=entry.exit_code, launch_at=entry.at)
        case Staged() | Moved() | Paused() | Continued() | Resized() | Shared() | Watched() | Judged() | Switched():
            return _progress(deployment, entry)
        case Baking():
            return replace(deployment, phase=Phase.BAKE, bake_until_at=entry.until_at)
        case Reverting():
            return replace(deployment, phase=Phase.REVERTING, reverting=entry)
        case Ended():
            return replace(deployment, phase=Phase.ENDED, ended=entry)
        case _:
            assert_never(entry)


def _progress(deployment: Deployment, entry: Progress) -> Deployment:
    match entry:
        case Staged():
            return replace(deployment, stage=entry.stage, moved=0)
        case Moved():
            return replace(deployment, moved=entry.batch)
        case Paused():
            return replace(deployment, paused_at=entry.at)
        case Continued():
            return replace(deployment, continued_at=entry.at)
        case Resized(groups=groups):
            return replace(deployment, started=replace(deployment.started, groups=groups))
        case Shared(step=step, percent=percent):
            return replace(deployment, step=step, step_percent=percent, step_since_at=None, step_until_at=None)
        case Watched(at=at, until_at=until_at):
            return replace(deployment, step_since_at=at, step_until_at=until_at)
        case Judged(step=step):
            unknown = (*deployment.inconclusive, step) if entry.few else deployment.inconclusive
            return replace(deployment, judged=step, inconclusive=unknown)
        case Switched():
            return replace(deployment, switched_at=entry.at)
        case _:
            assert_never(entry)


def cohorts(deployment: Deployment, change: GroupChange, *, balanced: bool) -> tuple[Cohort, ...]:
    """What one group shall be in the deployment's present state."""
    started = deployment.started
    old, new = started.previous, started.release
    before: tuple[Cohort, ...] = ()
    if old is not None:
        inherits = new if change.kept else None
        before = (Cohort(release=old, count=change.old_count, in_place=change.in_place, inherits=inherits),)
    match deployment.phase:
        case Phase.PREPARE | Phase.TASK:
            return (*before, *_aside(change))
        case Phase.REVERTING | Phase.ENDED:
            if deployment.ended is not None and deployment.ended.verdict is Verdict.GOOD:
                return (Cohort(release=new, count=change.new_count),)
            return before or _specimen(deployment)
        case Phase.LAUNCH | Phase.BAKE:
            if deployment.stage < change.stage:
                return (*before, *_aside(change))
            if change.in_place:
                return _in_place(deployment, change)
            return _beside(deployment, change, balanced=balanced)
        case _:
            assert_never(deployment.phase)


def _aside(change: GroupChange) -> tuple[Cohort, ...]:
    """What was kept for a way back, until it is taken."""
    if change.aside is None:
        return ()
    return (Cohort(release=change.aside, count=change.aside_count, serving=False, launch=False),)


def kept_until_at(deployment: Deployment) -> datetime | None:
    """Until when the instances of the release before are kept aside; None: they aren't."""
    ended, started = deployment.ended, deployment.started
    if ended is None or ended.verdict is not Verdict.GOOD or not started.keep_old or started.previous is None:
        return None
    return ended.at + started.keep_old


def kept_aside(deployment: Deployment, now: datetime) -> int | None:
    """The release whose instances are kept for a way back after a good verdict; None: there are none."""
    until_at = kept_until_at(deployment)
    return deployment.started.previous if until_at is not None and now < until_at else None


def _specimen(deployment: Deployment) -> tuple[Cohort, ...]:
    """Of a first release that wasn't good, one of each group is kept for a look; of one that was aborted, none."""
    last = deployment.ended or deployment.reverting
    if last is not None and last.verdict is Verdict.ABORTED:
        return ()
    return (Cohort(release=deployment.started.release, count=1, serving=False, launch=False),)


def _in_place(deployment: Deployment, change: GroupChange) -> tuple[Cohort, ...]:
    started = deployment.started
    moved = moved_of(deployment, change)
    after = Cohort(release=started.release, count=moved, in_place=True)
    # the surge comes beside, and goes when all have moved
    left = min(change.old_count, change.old_count + change.surge - moved) if moved < change.new_count else 0
    if started.previous is None or left <= 0:
        return (after,)
    avoid = change.zones[: deployment.moved] if deployment.stage == change.stage else ()
    return (after, Cohort(release=started.previous, count=left, avoid=avoid))


def moved_of(deployment: Deployment, change: GroupChange) -> int:
    """How many instances of a group that changes in place shall run the new release by now."""
    if deployment.stage != change.stage:
        return change.new_count if deployment.stage > change.stage else 0
    return change.batches[: deployment.moved][-1] if deployment.moved else 0


def _beside(deployment: Deployment, change: GroupChange, *, balanced: bool) -> tuple[Cohort, ...]:
    """New instances beside the old. Where there are targets the old are kept aside until the verdict, for an instant
    way back; a group that the new release lacks serves on until its routes have moved. Of a group that is kept only
    what differs in number comes or goes: the new release inherits the others at the switch."""
    started = deployment.started
    switched = deployment.switched_at is not None
    if started.previous is None:
        return (Cohort(release=started.release, count=change.new_count, serving=switched),)
    if change.canary and not switched:
        shares = deployment.step > 0
        after = Cohort(release=started.release, count=change.new_count, serving=shares)
        return (after, Cohort(release=started.previous, count=change.old_count))
    leaves = deployment.phase is Phase.BAKE if change.new_count == 0 else switched
    stay = min(change.old_count, change.new_count) if change.kept else 0
    after = Cohort(
        release=started.release,
        count=change.new_count if switched else change.new_count - stay,
        serving=switched,
        inherits=started.previous if change.kept and switched else change.aside,
    )
    before = Cohort(
        release=started.previous,
        count=change.old_count - stay if leaves else change.old_count,
        serving=not leaves,
        launch=not leaves,
    )
    if leaves and not balanced:
        return (after,)
    return tuple(each for each in (after, before) if each.count)


def shares(deployment: Deployment) -> tuple[Share, ...]:
    """Of the requests, in the present step of a canary. On the way back as before, until nothing of it serves: taken
    away sooner, it would get its full share for a moment."""
    started = deployment.started
    if deployment.step == 0 or deployment.switched_at is not None or deployment.phase is Phase.ENDED:
        return ()
    return tuple(
        Share(app=started.app, group=change.name, release=started.release, percent=deployment.step_percent)
        for change in started.groups
        if change.canary
    )


def launch_release(deployment: Deployment) -> int | None:
    """What new instances get: the new release from the switch on, the previous one on the way back."""
    if deployment.reverting is not None or deployment.switched_at is None:
        return deployment.started.previous
    return deployment.started.release


def routes_release(deployment: Deployment) -> int | None:
    """Whose routes the balancer has: the new release's once all its groups carry traffic; a first one's from the switch
    on, for there are none to lose."""
    first = deployment.started.previous is None and deployment.switched_at is not None
    if deployment.reverting is None and (first or deployment.bake_until_at is not None):
        return deployment.started.release
    return deployment.started.previous


def pulled_release(deployment: Deployment, change: GroupChange) -> int | None:
    """What a new instance of one group gets on an engine that launches by itself: where the new release comes beside
    the old one, the new from the moment on that its instances are wanted; in place, from the switch on."""
    launches = deployment.phase in (Phase.LAUNCH, Phase.BAKE) and deployment.stage >= change.stage
    if launches and not change.in_place and change.new_count:
        return deployment.started.release
    return launch_release(deployment)
