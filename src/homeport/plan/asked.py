"""What people asked of a fleet, as far as it is still to be done. Pure. Called by `control.environment` and by
`control.fleet`."""

from collections.abc import Iterable

from msgspec.structs import replace

from homeport.errors import Conflict
from homeport.model.asked import Asked, GroupAsked, Suspendable
from homeport.model.fleet import Instance, State
from homeport.model.release import Release
from homeport.plan.member import age

_ENDING = (State.TERMINATING_WAIT, State.TERMINATING, State.TERMINATED)


def outstanding(said: GroupAsked, members: Iterable[Instance]) -> GroupAsked:
    """Without what has been done or can't be any more: a cycle that has replaced everybody, standby of who has ended.
    `members`: all of the group. Who is on standby isn't waited for by a cycle."""
    live = {each.id: each for each in members if each.state not in _ENDING}
    standby = tuple(each for each in said.standby if each.instance in live)
    cycle = said.cycle if to_cycle(said, live.values()) else None
    return replace(said, standby=standby, cycle=cycle)


def to_cycle(said: GroupAsked, members: Iterable[Instance]) -> list[Instance]:
    """Those that a cycle has yet to replace, the oldest first."""
    if said.cycle is None:
        return []
    aside = {each.instance for each in said.standby}
    old = [
        each
        for each in members
        if each.created_at < said.cycle.older_than_at and each.state not in _ENDING and each.id not in aside
    ]
    return sorted(old, key=age)


def refuse_suspended(asked: Asked, release: Release) -> None:
    """Nothing where the release can be deployed. Raises `Conflict` where one of its groups isn't to launch anything:
    the deployment would wait for ever."""
    names = {each.name for each in release.resolved.groups}
    held = [
        f"{each.app}/{each.group}"
        for each in asked.groups
        if each.app == release.app and each.group in names and Suspendable.LAUNCH in each.suspended
    ]
    if held:
        raise Conflict(
            f"{release.id} of {release.app} can't be deployed: Launch is suspended in {', '.join(sorted(held))}",
            hint=f"homeport fleet resume Launch {' '.join(sorted(held))}",
        )
