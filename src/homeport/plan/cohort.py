"""Who is what in a group: which instances a cohort keeps, which are converted in place, which are surplus.

Pure; the first half of `plan.fleet`."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from homeport.model.fleet import Check, Cohort, GroupDesired, Instance, Run, State, Target


class Role(Struct, frozen=True, kw_only=True):
    """`cohort` None: nobody wants it. It shall become one of the cohort's: `convert`, as its next generation;
    `inherit`, as it is."""

    cohort: Cohort | None = None
    convert: bool = False
    inherit: bool = False


def carries(instance: Instance, *, balanced: bool) -> bool:
    """It does the group's work: gets requests, or for a group without targets, is in service."""
    if balanced:
        return instance.target is Target.READY
    return instance.state is State.IN_SERVICE


def usable(instance: Instance) -> bool:
    """It lives, or is between two generations: neither on its way out nor dead."""
    if instance.state in (State.TERMINATING, State.TERMINATED):
        return False
    return instance.run is not Run.STOPPED or instance.next_release is not None


def release_of(instance: Instance) -> int:
    """What it runs, or will run next."""
    return instance.release if instance.next_release is None else instance.next_release


def assign(desired: GroupDesired, instances: Sequence[Instance]) -> dict[str, Role]:
    """A role for every instance. A cohort keeps its own up to its count, best first, and what it lacks of those that it
    inherits; one that is made in place then takes from what no cohort keeps."""
    roles: dict[str, Role] = {}
    free = [each for each in instances if usable(each)]
    for cohort in desired.cohorts:
        members = [each for each in free if release_of(each) == cohort.release]
        for each in (kept := keep(members, cohort.count)):
            roles[each.id] = Role(cohort=cohort)
            free.remove(each)
        heirs = [each for each in free if each.release == cohort.inherits and inheritable(each)]
        for each in keep(heirs, cohort.count - len(kept)):
            roles[each.id] = Role(cohort=cohort, inherit=True)
            free.remove(each)
    for cohort in desired.cohorts:
        if cohort.in_place:
            missing = cohort.count - sum(1 for role in roles.values() if role.cohort == cohort)
            for each in sorted(free, key=age)[: max(0, missing)]:
                roles[each.id] = Role(cohort=cohort, convert=True)
                free.remove(each)
    return {each.id: roles.get(each.id, Role()) for each in instances}


def inheritable(instance: Instance) -> bool:
    """In service and not known to be sick: others are replaced by new ones, which must show that they can start."""
    in_service = instance.state is State.IN_SERVICE and instance.next_release is None
    return in_service and instance.check is not Check.UNHEALTHY


def keep(members: Sequence[Instance], count: int) -> list[Instance]:
    """`count` of the members. What goes first: what isn't in service, then what isn't healthy, then what stands in the
    fullest zone, then the youngest."""
    kept = sorted(members, key=age)
    while len(kept) > count:
        population = {each.zone: sum(1 for other in kept if other.zone == each.zone) for each in kept}
        kept.remove(
            max(
                kept,
                key=lambda each: (
                    each.state is not State.IN_SERVICE,
                    each.check is not Check.HEALTHY,
                    population[each.zone],
                    age(each),
                ),
            )
        )
    return kept


def age(instance: Instance) -> tuple[object, int, str]:
    """Sorts oldest first; ids of the same moment by their ordinal."""
    ordinal = instance.id.rpartition("-")[2]
    return (instance.created_at, int(ordinal) if ordinal.isdigit() else 0, instance.id)


def emptiest_zone(zones: Sequence[str], taken: Iterable[str]) -> str:
    """The zone with the fewest of `taken`, the first in order among equals."""
    counts = dict.fromkeys(zones, 0)
    for each in taken:
        if each in counts:
            counts[each] += 1
    return min(zones, key=lambda zone: counts[zone])
