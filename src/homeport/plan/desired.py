"""What every group of an app shall be: from its deployment while one goes on, else from the release that new instances
get and the sizes that were asked for.

Pure. Called by `control.environment`.
"""

from collections.abc import Collection, Iterable, Mapping

from homeport.model.asked import Asked, GroupAsked
from homeport.model.deployment import Deployment, GroupChange, Phase, Verdict
from homeport.model.fleet import Cohort, GroupDesired
from homeport.model.platform import ZONES, Group, Resolved
from homeport.plan.journal import cohorts
from homeport.plan.order import stages

NO_GROUP = Group(name="", run=())


def size(group: Group, sizes: Mapping[str, int]) -> int:
    """Desired count: what was asked for by `scale`, else the file's seed; within the file's bounds."""
    return max(group.instances.min, min(group.instances.max, sizes.get(group.name, group.instances.desired)))


def group_changes(
    *,
    old: Resolved | None,
    new: Resolved,
    old_sizes: Mapping[str, int],
    new_sizes: Mapping[str, int],
    unchanged: Collection[str] = (),
) -> tuple[GroupChange, ...]:
    """How each group changes from one release to the next. `unchanged`: those with the same content in both. In place
    only where `rolling` leaves somebody serving: a group of one gets its successor beside it."""
    names = dict.fromkeys([group.name for group in new.groups] + [group.name for group in (old.groups if old else ())])
    stage = stages({group.name: group.after for group in new.groups})
    changes = []
    for name in names:
        before = old.group(name) if old else None
        after = new.group(name)
        old_count = size(before, old_sizes) if before else 0
        new_count = size(after, new_sizes) if after else 0
        kept = name in unchanged
        in_place = new.deploy.strategy == "rolling" and old_count > 1 and new_count > 0 and not kept
        changes.append(
            GroupChange(
                name=name,
                old_count=old_count,
                new_count=new_count,
                in_place=in_place,
                kept=kept,
                stage=0 if kept and old_count == new_count else stage.get(name, 0),
            )
        )
    return tuple(changes)


def desired_groups(
    app: str,
    *,
    deployment: Deployment | None,
    launch: int | None,
    releases: Mapping[int, Resolved],
    asked: Asked,
    present: Iterable[str],
) -> tuple[GroupDesired, ...]:
    """One entry per group that is wanted or has instances (`present`). `deployment`: the app's newest, or None."""
    sizes = asked.sizes(app)
    trial = None
    wanted: dict[str, tuple[Cohort, ...]] = dict.fromkeys(present, ())
    resolved = releases.get(launch) if launch is not None else None
    if deployment is not None and deployment.phase is not Phase.ENDED:
        trial = deployment.started.release
        resolved = releases.get(deployment.started.release)
        for change in deployment.started.groups:
            known = _group(change.name, resolved, releases.get(deployment.started.previous or 0))
            wanted[change.name] = cohorts(deployment, change, balanced=known.balanced)
    elif launch is not None and resolved is not None:
        for group in resolved.groups:
            wanted[group.name] = (Cohort(release=launch, count=size(group, sizes)),)
    elif deployment is not None and deployment.ended and deployment.ended.verdict is not Verdict.GOOD:
        resolved = releases.get(deployment.started.release)
        for change in deployment.started.groups:
            wanted[change.name] = cohorts(deployment, change, balanced=True)
    before = releases.get(deployment.started.previous or 0) if deployment is not None else None
    others = [releases[number] for number in sorted(releases, reverse=True)]
    return tuple(
        _desired(app, name, cohorts_of, _group(name, resolved, before, *others), asked.of(app, name), trial)
        for name, cohorts_of in sorted(wanted.items())
    )


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
