"""What speaks against a release while it is deployed. Pure. Called by `plan.deployment` and `plan.way_back`."""

from datetime import datetime, timedelta

from homeport.model.deployment import Evidence, Reverting, Verdict
from homeport.model.fleet import Check, Instance, Run, State
from homeport.plan.deployment_view import Step, View

CRASH_LOOP_EXITS = 3
"""So many exits of one process before its instance was ever healthy, and the release is refused without waiting."""


REFUSED_LAUNCHES = 3
"""So many launches in a row that came to nothing, and it isn't waited for the next: a single one is often made up for
by another zone, or a moment later."""
UNHEARD = "what carries commands to the instance is broken, not the release: mend or end it, then homeport deploy"
MAKE_ROOM = "make room, then deploy again: homeport gc"


def trouble(instance: Instance, *, since_at: datetime, grace: timedelta, baking_since_at: datetime | None) -> str:
    """Why an instance speaks against its release; empty: it doesn't. Unknown never does."""
    if instance.ended_at is not None and instance.ended_at < since_at:
        return ""
    if instance.unheard == instance.release:
        return f"{instance.id} can't be reached: {instance.reason}"
    if instance.died:
        return f"{instance.id}: {instance.reason}" if instance.reason else f"{instance.id} ended by itself"
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


def troubled(v: View) -> Step | None:
    if (step := _not_launched(v)) is not None:
        return step
    baking_since_at = None
    if v.deployment.bake_until_at is not None:
        baking_since_at = v.deployment.bake_until_at - v.started.bake
    elif v.deployment.switched_at is None:
        baking_since_at = v.deployment.step_since_at  # a canary serves, and is watched
    back_again = {change.name for change in v.started.groups if change.aside is not None}
    for each in v.observed.instances:
        if each.app != v.started.app or each.release != v.started.release:
            continue
        if (each.started_at or each.created_at) < v.started.at and each.group not in back_again:
            continue  # inherited: what it does was no news to anybody
        if each.zone_failed or each.zone in v.observed.failed_zones:  # lost with it, whatever it runs
            continue
        found = (
            trouble(each, since_at=v.started.at, grace=v.started.grace, baking_since_at=baking_since_at)
            or _never_healthy(v, each)
            or _ill(each)
        )
        if found:
            verdict, hint = (Verdict.INFRASTRUCTURE, MAKE_ROOM) if each.disk_full else (Verdict.FAILED, "")
            if each.unheard == each.release:
                verdict, hint = Verdict.INFRASTRUCTURE, UNHEARD
            if _abandoned(each):
                hint = f"homeport logs -e {v.started.environment} --instance {each.id} --process hook"
            full = ", on a full disk" if each.disk_full else ""
            evidence = Evidence(summary=f"{found}{full}", instance=each.id, hint=hint)
            return Step(entry=Reverting(at=v.now, verdict=verdict, evidence=evidence), blames=each.id)
    return None


def _not_launched(v: View) -> Step | None:
    """Nothing that a release could help: nobody lends it a machine."""
    refused = [
        each
        for each in v.observed.instances
        if not each.launched
        and (each.app, each.release) == (v.started.app, v.started.release)
        and each.created_at >= v.started.at
    ]
    for group in sorted({each.group for each in refused}):
        newest = [each for each in refused if each.group == group]
        if len(newest) >= REFUSED_LAUNCHES:
            summary = f"no instance of {group} can be launched: {max(newest, key=lambda each: each.created_at).reason}"
            evidence = Evidence(summary=summary, hint="mend what that says, then deploy again")
            return Step(entry=Reverting(at=v.now, verdict=Verdict.INFRASTRUCTURE, evidence=evidence))
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


def _ill(each: Instance) -> str:
    """It serves, and isn't well any more: in place, others would wait for it for ever, since those that are well can't
    be spared then."""
    ill = each.state is State.IN_SERVICE and each.run is Run.RUNNING and each.check is Check.UNHEALTHY
    return f"{each.id} became unhealthy once it was in service" if ill else ""


def deadline(v: View) -> datetime | None:
    pending = [
        overdue_at(each, v.started.grace)
        for each in v.observed.instances
        if each.app == v.started.app and each.release == v.started.release and each.state is State.PENDING
    ]
    return min((each for each in pending if each > v.now), default=None)
