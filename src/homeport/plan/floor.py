"""How many of a group carry its work, and who of them carries on while others get their next generation in place. Pure.
Called by `plan.fleet` and `plan.pool`."""

from collections.abc import Mapping, Sequence

from homeport.model.fleet import Check, GroupDesired, Instance, Run
from homeport.plan.cohort import Role
from homeport.plan.member import age, carries


def carrying(desired: GroupDesired, present: Sequence[Instance], roles: Mapping[str, Role]) -> tuple[int, int]:
    """How many of the serving cohorts' instances carry traffic, and how many of these are known to be well."""
    checks = [
        each.check
        for each in present
        if (cohort := roles[each.id].cohort) is not None
        and cohort.serving
        and not roles[each.id].convert
        and carries(each, balanced=desired.balanced)
    ]
    return len(checks), sum(1 for each in checks if each is Check.HEALTHY)


def held(desired: GroupDesired, present: Sequence[Instance], roles: Mapping[str, Role]) -> set[str]:
    """Those that can't be spared yet for their next generation: as many as the floor stay, and as many that are well,
    if there are. Who is sick goes first."""
    if not desired.floor:
        return set()
    there = [
        each
        for each in present
        if carries(each, balanced=desired.balanced) and each.next_release is None and each.run is not Run.STOPPED
    ]
    turning = [each for each in there if roles[each.id].convert]
    turning.sort(key=lambda each: (each.check is not Check.UNHEALTHY, age(each)))
    spare = len(there) - desired.floor
    spare_well = sum(1 for each in there if each.check is Check.HEALTHY) - desired.floor
    found = set()
    for each in turning:
        well = each.check is Check.HEALTHY
        if spare <= 0 or (well and spare_well <= 0):
            found.add(each.id)
            continue
        spare -= 1
        spare_well -= well
    return found
