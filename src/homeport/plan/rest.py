"""A group that is as it shall be, told at a glance: the way that almost every group takes at almost every tick. Pure.

Called by `plan.fleet`; a property test holds it to what the rules would say.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from homeport.model.action import Decision, Plan
from homeport.model.fleet import Check, GroupDesired, Instance, Observation, Run, State, Target


def at_rest(desired: GroupDesired, observed: Observation, members: Sequence[Instance], now: datetime) -> Plan | None:
    """The plan of a group that needs nothing; None: that takes the rules to say."""
    asked = desired.asked
    if len(desired.cohorts) != 1 or desired.trial is not None or observed.failed_zones:
        return None
    if asked is not None and (asked.standby or asked.cycle or asked.suspended):
        return None
    (cohort,) = desired.cohorts
    members, ended = _live(members)
    if any(each.ended_at is None or now - each.ended_at <= desired.breaker.window for each in ended):
        return None  # a breaker may count it
    if len(members) != cohort.count or not cohort.serving or (desired.app, desired.name) in observed.fail_open:
        return None
    release, target = cohort.release, Target.READY if desired.balanced else Target.UNUSED
    zones: Counter[str] = Counter(dict.fromkeys(desired.zones, 0))
    reason = f"in service with r{release}"
    decisions = []
    oldest_at = now
    for each in members:
        if (
            each.check is not Check.HEALTHY
            or each.run is not Run.RUNNING
            or each.state is not State.IN_SERVICE
            or each.target is not target
            or each.release != release
            or each.next_release is not None
            or each.died
        ):
            return None
        zones[each.zone] += 1
        oldest_at = min(oldest_at, each.created_at)
        decisions.append(Decision(subject=each.id, reason=reason, rule="in service"))
    spread = zones.values()
    if max(spread) - min(spread) > 1:
        return None
    wake_at = None
    if desired.max_lifetime is not None:
        wake_at = oldest_at + desired.max_lifetime
        if wake_at <= now:
            return None
    return Plan(decisions=tuple(decisions), wake_at=wake_at)


def _live(members: Sequence[Instance]) -> tuple[list[Instance], list[Instance]]:
    """Those that live, and those that don't any more."""
    live = [each for each in members if each.state is not State.TERMINATED]
    return live, [each for each in members if each.state is State.TERMINATED]
