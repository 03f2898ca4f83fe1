"""The fleet decider: what one group needs now, so that it becomes what it shall be.

Pure. Called by `control.environment` for each group, in every state of the world, as often as it likes: what it answers
depends on `desired` and `observed` alone, so a crash between any two actions is healed by asking again.

First `plan.departure` says who must go whatever the numbers say, then every instance gets a role (`plan.cohort`), then
the ordered, first-match table `RULES` (`plan.fleet_rule`) says what happens to it. Last, `plan.launch` makes what the
cohorts lack.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from homeport.model.action import Decision, FailOpen, Plan, PutInService, Terminate
from homeport.model.asked import Suspendable
from homeport.model.breaker import BreakerPhase
from homeport.model.fleet import Check, GroupDesired, Instance, Observation, Run, State, Target
from homeport.plan.cohort import Role, assign
from homeport.plan.departure import Scene, Why, find
from homeport.plan.fleet_rule import RULES, FleetSituation
from homeport.plan.floor import carrying, held
from homeport.plan.launch import launches
from homeport.plan.member import age
from homeport.plan.rest import at_rest

Members = Mapping[tuple[str, str], Sequence[Instance]]


def by_group(observed: Observation) -> Members:
    """(app, group) → its instances: made once per observation, so that each group's turn costs only its own."""
    found: defaultdict[tuple[str, str], list[Instance]] = defaultdict(list)
    for each in observed.instances:
        found[each.app, each.group].append(each)
    return found


def reconcile(
    desired: GroupDesired, observed: Observation, now: datetime, members: Sequence[Instance] | None = None
) -> Plan:
    """What to do now for one group: decisions in the order in which they are to be carried out (what shall carry
    traffic first, launches before what is cleaned up: nobody waits for that), each with its reason, and when to look
    again at the latest. `members`: the group's instances, where the caller has them from `by_group`."""
    if members is None:
        members = by_group(observed).get((desired.app, desired.name), ())
    rest = at_rest(desired, observed, members, now)
    return rest if rest is not None else decide(desired, observed, now, members)


def decide(desired: GroupDesired, observed: Observation, now: datetime, members: Sequence[Instance]) -> Plan:
    """As `reconcile`, by the rules alone."""
    scene = Scene(
        desired=desired, everyone=sorted(members, key=age), failed_zones=frozenset(observed.failed_zones), now=now
    )
    present = [each for each in scene.everyone if each.state is not State.TERMINATED]
    found = find(scene)
    roles = assign(
        desired.cohorts, present, found.departures, dead_too=Suspendable.REPLACE_UNHEALTHY in scene.suspended
    )
    carry = carrying(desired, present, roles)
    wanted = sum(cohort.count for cohort in desired.cohorts if cohort.serving)
    carried_on = held(desired, present, roles)
    decisions = [Decision(subject=desired.name, reason=note.text, rule=note.rule) for note in found.notes]
    wakes = list(found.wakes)
    for instance in present:
        role = roles[instance.id]
        situation = FleetSituation(
            instance=instance,
            role=role,
            desired=desired,
            enough=_enough(role, carry, wanted),
            suspended=scene.suspended,
            now=now,
            held=instance.id in carried_on,
        )
        rule = next(rule for rule in RULES if rule.when(situation))
        outcome = rule.then(situation)
        cause = role.departure.cause if role.departure is not None else ""
        decisions.append(
            Decision(subject=instance.id, reason=outcome.reason, action=outcome.action, rule=rule.name, cause=cause)
        )
        if outcome.wake_at is not None:
            wakes.append(outcome.wake_at)
    decisions += _fail_open(desired, observed, present, scene)
    decisions.sort(key=lambda each: not isinstance(each.action, PutInService | FailOpen))
    launched, until = launches(scene, observed, roles, found.breakers)
    cleaned = [each for each in decisions if isinstance(each.action, Terminate)]
    others = [each for each in decisions if not isinstance(each.action, Terminate)]
    return Plan(
        decisions=(*others, *launched, *cleaned),
        wake_at=min((each for each in [*wakes, *until] if each > now), default=None),
        breakers=tuple(each for each in found.breakers.values() if each.phase is not BreakerPhase.CLOSED),
        cycle_stopped=found.cycle_stopped,
    )


def _enough(role: Role, found: tuple[int, int], wanted: int) -> bool:
    """One that leaves because it is sick is worth no more than the sick ones that stay; one that is well waits for as
    many that are well. Standby is taken at once: a person asked for it."""
    everybody, well = found
    if role.departure is not None and (role.departure.at_once or role.departure.why is Why.STANDBY):
        return True
    sick = role.departure is not None and role.departure.why is Why.SICK
    return (everybody if sick else well) >= wanted


def _fail_open(
    desired: GroupDesired, observed: Observation, present: Sequence[Instance], scene: Scene
) -> list[Decision]:
    """Where every target is unhealthy, the balancer asks them all the same: as good as none, or better."""
    if not desired.balanced:
        return []
    checks = {
        each.check
        for each in present
        if each.target is Target.READY and each.run is not Run.STOPPED and each.zone not in scene.failed_zones
    }
    shall = checks == {Check.UNHEALTHY}
    if shall == ((desired.app, desired.name) in observed.fail_open):
        return []
    reason = "every target is unhealthy: they get requests all the same" if shall else "not every target is unhealthy"
    action = FailOpen(app=desired.app, group=desired.name, open=shall)
    return [Decision(subject=desired.name, reason=reason, action=action, rule="fail open")]
