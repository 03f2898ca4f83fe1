"""Who is what in a group: which instances a cohort keeps, which are converted in place, which are surplus.

Pure; called by `plan.fleet`, after `plan.departure` has said who is not to be kept whatever the numbers say."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from homeport.model.fleet import Check, Cohort, Instance, State, Target
from homeport.plan.departure import Departure
from homeport.plan.member import age, inheritable, release_of, usable


class Role(Struct, frozen=True, kw_only=True):
    """`cohort` None: nobody wants it; `departure`: for another reason than the number. It shall become one of the
    cohort's: `convert`, as its next generation; `inherit`, as it is."""

    cohort: Cohort | None = None
    convert: bool = False
    inherit: bool = False
    departure: Departure | None = None


SURPLUS = Role()


def assign(
    cohorts: Sequence[Cohort],
    instances: Sequence[Instance],
    departures: Mapping[str, Departure],
    *,
    dead_too: bool = False,
) -> dict[str, Role]:
    """A role for every instance. A cohort keeps its own up to its count, best first, and what it lacks of those that it
    inherits; one that is made in place then takes from what no cohort keeps. `dead_too`: what has died is kept as if it
    lived."""
    roles: dict[str, Role] = {}
    free: dict[str, Instance] = {}
    for each in instances:
        if (departure := departures.get(each.id)) is not None:
            roles[each.id] = Role(departure=departure)
        elif usable(each) or (dead_too and each.died and each.state is not State.TERMINATING):
            free[each.id] = each
    for cohort in cohorts:
        members = [each for each in free.values() if release_of(each) == cohort.release]
        kept = keep(members, cohort.count, cohort.avoid)
        _give(roles, free, kept, Role(cohort=cohort))
        if cohort.inherits is not None:
            heirs = [each for each in free.values() if each.release == cohort.inherits and inheritable(each)]
            _give(roles, free, keep(heirs, cohort.count - len(kept)), Role(cohort=cohort, inherit=True))
    for cohort in cohorts:
        if cohort.in_place:
            missing = cohort.count - sum(1 for role in roles.values() if role.cohort == cohort)
            there = Counter(each.zone for each in instances if roles.get(each.id, SURPLUS).cohort == cohort)
            converted = _evenly([each for each in free.values() if usable(each)], missing, there)
            _give(roles, free, converted, Role(cohort=cohort, convert=True))
    return {each.id: roles.get(each.id, SURPLUS) for each in instances}


def _evenly(candidates: Iterable[Instance], count: int, population: Counter[str]) -> list[Instance]:
    """So many of them, oldest first, so that with those that are there already (`population`) zones are even."""
    chosen: list[Instance] = []
    rest = sorted(candidates, key=age)
    while rest and len(chosen) < count:
        chosen.append(min(rest, key=lambda each: population[each.zone]))
        population[chosen[-1].zone] += 1
        rest.remove(chosen[-1])
    return chosen


def _give(roles: dict[str, Role], free: dict[str, Instance], chosen: Iterable[Instance], role: Role) -> None:
    for each in chosen:
        roles[each.id] = role
        del free[each.id]


def keep(members: Collection[Instance], count: int, avoid: Collection[str] = ()) -> list[Instance]:
    """`count` of the members, oldest first. What goes first: what stands in a zone to avoid, then what isn't in
    service, then what isn't healthy, then what stands in the fullest zone: there what is about to leave already, then
    the youngest."""
    kept = sorted(members, key=age)
    surplus = len(kept) - max(0, count)
    if surplus <= 0:
        return kept
    population: dict[str, int] = defaultdict(int)
    # worst first → zone → its members, first to leave last
    ranks: dict[tuple[bool, ...], dict[str, list[Instance]]] = defaultdict(lambda: defaultdict(list))
    for each in sorted(kept, key=_leaving):
        population[each.zone] += 1
        ranks[each.zone in avoid, *_rank(each)][each.zone].append(each)
    gone: set[str] = set()
    for rank in sorted(ranks, reverse=True):
        zones = ranks[rank]
        while zones and len(gone) < surplus:
            fullest = max(zones, key=lambda zone: (population[zone], *_leaving(zones[zone][-1])))
            gone.add(zones[fullest].pop().id)
            population[fullest] -= 1
            if not zones[fullest]:
                del zones[fullest]
    return [each for each in kept if each.id not in gone]


def _leaving(instance: Instance) -> tuple[bool, object]:
    return (instance.target is Target.DRAINING, age(instance))


def _rank(instance: Instance) -> tuple[bool, bool]:
    healthy = instance.check is Check.HEALTHY
    # one that comes back from standby was in service before its deputy was launched
    in_service = instance.state is State.IN_SERVICE or (instance.state is State.STANDBY and healthy)
    return (not in_service, not healthy)


def emptiest_zone(zones: Sequence[str], population: Mapping[str, int]) -> str:
    """The zone with the smallest population, the first in order among equals."""
    return min(zones, key=lambda zone: population.get(zone, 0))
