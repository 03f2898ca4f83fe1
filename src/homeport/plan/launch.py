"""Launches of what a group lacks: how many, where, or why none. Pure. Called by `plan.fleet`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.model.action import Decision, Launch
from homeport.model.asked import Suspendable
from homeport.model.breaker import BreakerPhase, BreakerState
from homeport.model.fleet import Cohort, Observation, State, Target
from homeport.plan.cohort import Role, emptiest_zone
from homeport.plan.departure import Scene, Why


def launches(
    scene: Scene,
    observed: Observation,
    roles: Mapping[str, Role],
    breakers: Mapping[int, BreakerState],
) -> tuple[list[Decision], list[datetime]]:
    """Launches for what the cohorts lack, spread over the zones that are there; or why there are none, and until
    when."""
    desired = scene.desired
    decisions: list[Decision] = []
    wakes: list[datetime] = []
    ordinal = observed.last_ordinal.get(desired.name, 0)
    zones = [each for each in desired.zones if each not in scene.failed_zones]
    staying = {id_ for id_, role in roles.items() if role.cohort is not None}
    population = Counter(each.zone for each in scene.everyone if each.id in staying)
    leaving_first = Counter(
        each.release
        for each in scene.everyone
        if (role := roles.get(each.id)) is not None and role.departure is not None and role.departure.at_once
    )
    for cohort in desired.cohorts:
        have = sum(1 for role in roles.values() if role.cohort == cohort) + leaving_first[cohort.release]
        missing = cohort.count - have if cohort.launch else 0
        if missing <= 0:
            continue
        breaker = breakers[cohort.release]
        if problem := no_launch(scene, zones, breaker):
            reason = f"{missing} of r{cohort.release} missing: {problem}"
            decisions.append(Decision(subject=desired.name, reason=reason, rule="no launch"))
            wakes += [breaker.until_at] if breaker.until_at is not None else []
            continue
        gone = predecessors(scene, roles, cohort)
        for _ in range(missing if breaker.allowed is None else min(missing, breaker.allowed)):
            ordinal += 1
            zone = emptiest_zone(zones, population)
            population[zone] += 1
            action = Launch(
                app=desired.app,
                group=desired.name,
                instance=f"{desired.name}-{ordinal}",
                zone=zone,
                release=cohort.release,
            )
            reason = f"{cohort.count} of r{cohort.release} wanted, {have} there"
            if breaker.phase is not BreakerPhase.CLOSED:
                reason += f"; tried again after {breaker.failures} failed rounds"
            replaces = gone.pop(0) if gone else ""
            reason += f"; in place of {replaces}" if replaces else ""
            decisions.append(
                Decision(subject=action.instance, reason=reason, action=action, rule="launch", replaces=replaces)
            )
    return decisions, wakes


def predecessors(scene: Scene, roles: Mapping[str, Role], cohort: Cohort) -> list[str]:
    """In whose place the cohort's next ones are launched: who has died, then who departs and has no successor yet. For
    people: nothing is decided by it."""
    heirs, dead, departing = 0, [], []
    for each in scene.everyone:
        role = roles.get(each.id)
        if role is None or each.release != cohort.release:
            continue
        if role.cohort is not None:
            heirs += each.state in (State.PENDING, State.PENDING_WAIT)
        elif each.died:
            dead.append(each.id)
        elif role.departure is not None and role.departure.why not in (Why.SPECIMEN, Why.TRIAL):
            beginning = each.target is not Target.DRAINING and each.state in (State.PENDING, State.IN_SERVICE)
            departing += [each.id] if beginning else []
    return dead + departing[heirs:]


def no_launch(scene: Scene, zones: Sequence[str], breaker: BreakerState) -> str:
    """Why none is launched; empty: nothing speaks against it."""
    if Suspendable.LAUNCH in scene.suspended:
        return "Launch is suspended"
    if not zones:
        return f"all zones have failed: {', '.join(scene.desired.zones)}"
    if breaker.allowed != 0 or breaker.until_at is None:
        return ""
    if scene.now < breaker.until_at:
        state = "breaker open" if breaker.phase is BreakerPhase.OPEN else "waiting"
        why = f"{breaker.failures} failed rounds ({breaker.reason})"
        return f"{state} after {why}: none before {breaker.until_at:%H:%M:%S}"
    return f"after {breaker.failures} failed rounds one is tried first"
