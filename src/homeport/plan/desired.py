"""What every group of an app shall be: from its deployment while one goes on, else from the release that new instances
get and the sizes that were asked for.

Pure. Called by `control.environment`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from homeport.model.asked import Asked, GroupAsked
from homeport.model.deployment import Deployment, GroupChange, Phase, Verdict
from homeport.model.fleet import Cohort, GroupDesired, Observation
from homeport.model.platform import ZONES, Deploy, Group, Resolved
from homeport.plan import batch
from homeport.plan.journal import cohorts, kept_aside
from homeport.plan.member import usable
from homeport.plan.order import stages


class Aside(Struct, frozen=True, kw_only=True):
    """Instances that are kept for a way back. `counts`: of each group in which they run what a new release runs."""

    release: int
    counts: dict[str, int]


NO_GROUP = Group(name="", run=())


def size(group: Group, sizes: Mapping[str, int]) -> int:
    """Desired count: what was asked for by `scale`, else the file's seed; within the file's bounds."""
    return max(group.instances.min, min(group.instances.max, sizes.get(group.name, group.instances.desired)))


def group_changes(
    *,
    old: Resolved | None,
    new: Resolved,
    sizes: Mapping[str, int],
    unchanged: Collection[str] = (),
    zones: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
    aside: Aside | None = None,
    canary: bool = True,
) -> tuple[GroupChange, ...]:
    """How each group changes from one release to the next. `sizes`: what `scale` asked for. `unchanged`: those with the
    same content in both. `zones`: group → zone → its instances there. `aside`: they become the new release's. `canary`
    False: what was good before needn't be tried on a share of the requests."""
    names = dict.fromkeys([group.name for group in new.groups] + [group.name for group in (old.groups if old else ())])
    tried = _canaries(old, new, unchanged, aside) if canary else frozenset()
    stage = stages(_order(new, tried))
    changes = []
    for name in names:
        before = old.group(name) if old else None
        after = new.group(name)
        old_count = size(before, sizes) if before else 0
        new_count = size(after, sizes) if after else 0
        kept = name in unchanged
        change = GroupChange(
            name=name,
            old_count=old_count,
            new_count=new_count,
            kept=kept,
            stage=0 if kept and old_count == new_count else stage.get(name, 0),
            canary=name in tried and old_count > 0 and new_count > 0,
        )
        if aside is not None and name in aside.counts and not kept:
            change = replace(change, aside=aside.release, aside_count=aside.counts[name])
        elif after is not None and not kept:
            change = _in_place(change, after, after.deploy or new.deploy, zones.get(name, {}))
        changes.append(change)
    return tuple(changes)


def _canaries(old: Resolved | None, new: Resolved, unchanged: Collection[str], aside: Aside | None) -> frozenset[str]:
    """The groups whose share of the requests rises step by step."""
    return frozenset(
        group.name
        for group in new.groups
        if (group.deploy or new.deploy).strategy == "canary"
        and group.balanced
        and group.name not in unchanged
        and not (aside is not None and group.name in aside.counts)
        and old is not None
        and old.group(group.name) is not None
    )


def _order(new: Resolved, canaries: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Group → what it comes after. Groups that get no requests follow the canaries, for two versions of a worker would
    both work meanwhile; but for those that a canary comes after."""
    order = {group.name: group.after for group in new.groups}
    before: set[str] = set()
    ahead = [*canaries]
    while ahead:
        before.add(name := ahead.pop())
        ahead += [each for each in order.get(name, ()) if each not in before]
    late = [group.name for group in new.groups if not group.balanced and group.name not in before]
    return order | {name: (*order[name], *sorted(canaries)) for name in late if canaries}


def _in_place(change: GroupChange, group: Group, deploy: Deploy, population: Mapping[str, int]) -> GroupChange:
    """Only where `rolling` leaves somebody serving: a group of one gets its successor beside it."""
    old, new = change.old_count, change.new_count
    if deploy.strategy != "rolling" or old < 2 or new == 0:
        return change
    zones = tuple(zone for zone in ZONES if population.get(zone)) if deploy.batch == "zone" else ()
    surge = 0 if zones else batch.amount(deploy.max_surge, old, up=True)
    away = batch.unavailable(deploy.max_unavailable, old, surge)
    if zones:
        steps, away = batch.zone_batches(population, zones, new)
    else:
        steps = batch.batches(old, new, away=away, surge=surge)
    return replace(
        change,
        in_place=True,
        batches=steps,
        zones=zones,
        surge=surge,
        floor=max(0, min(old, new) - away),
        turn=group.drain + group.stop_grace + group.health.grace,
    )


def population(observed: Observation, app: str, *, release: int | None = None) -> dict[str, Counter[str]]:
    """Group → zone → how many of its instances are there. `release`: of that one only."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for each in observed.instances:
        if each.app == app and usable(each) and release in (None, each.release):
            found[each.group][each.zone] += 1
    return found


def desired_groups(
    app: str,
    *,
    deployment: Deployment | None,
    launch: int | None,
    releases: Mapping[int, Resolved],
    asked: Asked,
    present: Iterable[str],
    now: datetime | None = None,
) -> tuple[GroupDesired, ...]:
    """One entry per group that is wanted or has instances (`present`). `deployment`: the app's newest, or None. `now`:
    by which it is told what is still kept aside; None: nothing is."""
    sizes = asked.sizes(app)
    trial = None
    floors: dict[str, int] = {}
    wanted: dict[str, tuple[Cohort, ...]] = dict.fromkeys(present, ())
    resolved = releases.get(launch) if launch is not None else None
    if deployment is not None and deployment.phase is not Phase.ENDED:
        trial = deployment.started.release
        resolved = releases.get(deployment.started.release)
        for change in deployment.started.groups:
            known = _group(change.name, resolved, releases.get(deployment.started.previous or 0))
            wanted[change.name] = cohorts(deployment, change, balanced=known.balanced)
            floors[change.name] = change.floor
    elif launch is not None and resolved is not None:
        for group in resolved.groups:
            wanted[group.name] = (Cohort(release=launch, count=size(group, sizes)),)
        for name, cohort in _kept_aside(deployment, releases, now):
            wanted[name] = (*wanted.get(name, ()), cohort)
    elif deployment is not None and deployment.ended and deployment.ended.verdict is not Verdict.GOOD:
        resolved = releases.get(deployment.started.release)
        for change in deployment.started.groups:
            wanted[change.name] = cohorts(deployment, change, balanced=True)
    before = releases.get(deployment.started.previous or 0) if deployment is not None else None
    others = [releases[number] for number in sorted(releases, reverse=True)]
    return tuple(
        replace(
            _desired(app, name, cohorts_of, _group(name, resolved, before, *others), asked.of(app, name), trial),
            floor=floors.get(name, 0),
        )
        for name, cohorts_of in sorted(wanted.items())
    )


def _kept_aside(
    deployment: Deployment | None, releases: Mapping[int, Resolved], now: datetime | None
) -> Iterator[tuple[str, Cohort]]:
    """What stays after a good verdict for a way back, by group. Only of what gets requests: two versions of a worker
    would both work."""
    kept = None if deployment is None or now is None else kept_aside(deployment, now)
    if deployment is None or kept is None or kept not in releases:
        return
    for change in deployment.started.groups:
        group = releases[kept].group(change.name)
        if group is not None and group.balanced and not change.kept and not change.in_place:
            yield change.name, Cohort(release=kept, count=change.old_count, serving=False, launch=False)


def _group(name: str, *resolved: Resolved | None) -> Group:
    for each in resolved:
        if each is not None and (group := each.group(name)) is not None:
            return group
    return NO_GROUP


def _desired(
    app: str, name: str, cohorts_of: tuple[Cohort, ...], group: Group, asked: GroupAsked, trial: int | None
) -> GroupDesired:
    return GroupDesired(
        app=app,
        name=name,
        cohorts=tuple(each for each in cohorts_of if each.count),
        zones=ZONES,
        balanced=group.balanced,
        stop_grace=group.stop_grace,
        drain=group.drain,
        max=group.instances.max,
        surge=group.surge,
        replace_budget=group.replace_budget,
        grace=group.health.grace,
        replaced_after=group.health.replaced_after,
        max_lifetime=group.max_lifetime,
        breaker=group.breaker,
        launching=group.hooks.launching,
        terminating=group.hooks.terminating,
        trial=trial,
        asked=asked,
    )
