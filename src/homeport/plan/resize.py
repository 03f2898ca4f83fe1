"""Somebody scales a group while it is being deployed: what becomes of its change. Pure. A rule of `plan.deployment`.

The count holds for both releases at once, each within its own bounds. What serves goes down to it by the fleet's rules:
never below the floor, and where both releases serve, those of the old one first, since what has moved stays moved. A
way back isn't touched: nobody knows less than then whether another instance would start.
"""

from msgspec.structs import replace

from homeport.model.deployment import GroupChange, Resized
from homeport.model.platform import Deploy
from homeport.plan.batch import amount, batches, unavailable
from homeport.plan.deployment_view import Step, View
from homeport.plan.desired import size


def resize(v: View) -> Step | None:
    """The sizes that are asked for, where the groups' changes have others."""
    known = (v.started.release, *([] if v.started.previous is None else [v.started.previous]))
    if any(each not in v.resolved for each in known):
        return None
    groups = tuple(_resized(v, each) for each in v.started.groups)
    if groups == v.started.groups:
        return None
    pairs = zip(v.started.groups, groups, strict=True)
    counts = {after.name: after.new_count or after.old_count for before, after in pairs if before != after}
    return Step(entry=Resized(at=v.now, groups=groups, counts=counts))


def _resized(v: View, change: GroupChange) -> GroupChange:
    new = v.resolved[v.started.release]
    after = new.group(change.name)
    before = None if v.started.previous is None else v.resolved[v.started.previous].group(change.name)
    old_count = size(before, v.sizes) if before is not None else 0
    new_count = size(after, v.sizes) if after is not None else 0
    if (old_count, new_count) == (change.old_count, change.new_count):
        return change
    sized = replace(change, old_count=old_count, new_count=new_count)
    if not change.in_place:
        return sized
    if after is None or old_count < 2 or new_count == 0:
        # nobody would serve while the one turns, there or back: its successor comes beside it
        return replace(sized, in_place=False, batches=(), zones=(), surge=0, floor=0)
    return _in_batches(v, sized, after.deploy or new.deploy)


def _in_batches(v: View, change: GroupChange, deploy: Deploy) -> GroupChange:
    """What has moved counts as moved, the rest is divided anew."""
    old, new = change.old_count, change.new_count
    done: tuple[int, ...] = ()
    if v.deployment.stage > change.stage:
        done = (new,)
    elif v.deployment.stage == change.stage:
        done = tuple(min(each, new) for each in change.batches[: v.deployment.moved])
        done += done[-1:] * (v.deployment.moved - len(done))
    moved = done[-1] if done else 0
    if change.zones:
        surge, rest = 0, max(1, len(change.zones) - len(done))
        steps = tuple(moved + (new - moved) * (number + 1) // rest for number in range(rest))
        away = max(1, -(-(new - moved) // rest))
    else:
        surge = amount(deploy.max_surge, old, up=True)
        away = unavailable(deploy.max_unavailable, old, surge)
        steps = batches(old, new, away=away, surge=surge, moved=moved)
    return replace(
        change,
        batches=(*done, *steps) if moved < new else done,
        surge=surge,
        floor=max(0, min(old, new) - away),
    )
