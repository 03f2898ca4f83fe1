"""What a launch breaker has suspended of a group, told apart from what people have. Used by `engine`."""

from collections.abc import Callable, Collection

from msgspec.structs import replace

from homeport.engines.aws.fleet import Fleet, Pool
from homeport.engines.aws.kept import Kept
from homeport.model.action import HoldBack
from homeport.model.asked import Asked, GroupAsked, Suspendable
from homeport.model.fleet import Capacity

Change = Callable[[Callable[[Kept], Kept]], Kept]


def capacity(pool: Pool, kept: Kept) -> Capacity:
    """Held is what is, not what was meant to be."""
    held = kept.held.get(f"{pool.app}/{pool.group}", ())
    there = tuple(each for each in held if each.value in pool.suspended)
    protected = tuple(each.id for each in pool.members if each.protected and each.lifecycle == "InService")
    return Capacity(app=pool.app, group=pool.group, count=pool.capacity, protected=protected, held=there)


def hold_back(fleet: Fleet, pool: Pool, kept: Kept, action: HoldBack, change: Change) -> None:
    """It stands down before it is suspended, and until it isn't any more: what people suspend isn't the breaker's to
    resume."""
    name, wanted = f"{pool.app}/{pool.group}", action.processes
    held = kept.held.get(name, ())
    asked = Asked(groups=kept.groups).of(pool.app, pool.group).suspended
    _note(name, {*held, *wanted}, change)
    fleet.suspend(pool, on=[each.value for each in wanted], off=[each.value for each in {*held} - {*wanted, *asked}])
    _note(name, wanted, change)


def ask(fleet: Fleet, pool: Pool, kept: Kept, said: GroupAsked) -> None:
    """What people want suspended is, and nothing else but what the breaker holds back."""
    on = [each.value for each in {*said.suspended, *kept.held.get(f"{pool.app}/{pool.group}", ())}]
    fleet.suspend(pool, on=on, off={*pool.suspended} - {*on})


def _note(name: str, processes: Collection[Suspendable], change: Change) -> None:
    said = tuple(each for each in Suspendable if each in processes)

    def noted(kept: Kept) -> Kept:
        others = {key: each for key, each in kept.held.items() if key != name}
        return replace(kept, held=others | ({name: said} if said else {}))

    change(noted)
