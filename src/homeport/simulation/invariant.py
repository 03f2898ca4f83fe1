"""What must hold whatever goes wrong: one function each, which says what is wrong, or nothing. Used by
`simulation.world` before every action, and by `simulation.run` when faults have stopped.

An action is judged by what its decider was shown: nobody can know what happened since."""

from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct

from homeport.model.action import Action, Drain, EnterStandby, Kill, Launch, Start, Stop, Terminate
from homeport.model.asked import Suspendable
from homeport.model.fleet import Check, GroupDesired, Instance, Observation, Run, State, Target
from homeport.plan.breaker import judge
from homeport.plan.member import carries


class Moment(Struct, kw_only=True):
    """An action that is about to be carried out. `done`: those of the same tick before it."""

    action: Action
    shown: Observation
    desired: Mapping[str, GroupDesired]
    done: tuple[Action, ...]

    def find(self, id_: str) -> Instance | None:
        return next((each for each in self.shown.instances if each.id == id_), None)

    def group(self, name: str) -> list[Instance]:
        return [each for each in self.shown.instances if each.group == name]

    def serves(self, each: Instance) -> bool:
        return serves(each, self.desired[each.group], self.shown)


def serves(each: Instance, desired: GroupDesired, observed: Observation) -> bool:
    """It does its work, as far as anybody can see."""
    well = each.run is Run.RUNNING and each.check is Check.HEALTHY and each.zone not in observed.failed_zones
    return well and each.state is State.IN_SERVICE and carries(each, balanced=desired.balanced)


def never_more_than_max_and_surge(m: Moment) -> str:
    if not isinstance(m.action, Launch) or m.action.group not in m.desired:
        return ""
    desired = m.desired[m.action.group]
    releases = {each.release for each in desired.cohorts}
    ended = {each.instance for each in m.done if isinstance(each, Stop | Drain | EnterStandby)}
    there = [
        each
        for each in m.group(desired.name)
        if each.state in (State.PENDING, State.PENDING_WAIT, State.IN_SERVICE)
        and each.run is not Run.STOPPED
        and each.target is not Target.DRAINING
        and each.zone not in m.shown.failed_zones
        and each.release in releases
        and each.id not in ended
    ]
    new = 1 + sum(1 for each in m.done if isinstance(each, Launch) and each.group == desired.name)
    most = max(desired.max, sum(each.count for each in desired.cohorts)) + desired.surge
    return f"{desired.name}: {len(there) + new} instances, at most {most}" if len(there) + new > most else ""


def never_below_the_floor_by_our_own_hand(m: Moment) -> str:
    if not isinstance(m.action, Drain | Stop | Kill | Terminate | EnterStandby):
        return ""
    found = m.find(m.action.instance)
    if found is None or found.group not in m.desired or not m.serves(found):
        return ""
    desired = m.desired[found.group]
    asked = desired.asked
    if asked is not None and any(each.instance == found.id for each in asked.standby):
        return ""
    taken = {each.instance for each in m.done if isinstance(each, Drain | Stop | Kill | Terminate | EnterStandby)}
    left = sum(1 for each in m.group(found.group) if m.serves(each) and each.id not in {found.id, *taken})
    floor = sum(each.count for each in desired.cohorts if each.serving)
    if any(each.in_place for each in desired.cohorts):
        floor = desired.floor
    return f"{found.id} is taken out, which leaves {left} of {floor} serving" if left < floor else ""


def unknown_is_never_destroyed(m: Moment) -> str:
    if not isinstance(m.action, Stop | Kill | Terminate | Start):
        return ""
    found = m.find(m.action.instance)
    return f"nobody knows what {found.id} does" if found is not None and found.run is Run.UNKNOWN else ""


def no_launch_while_suspended(m: Moment) -> str:
    if not isinstance(m.action, Launch) or m.action.group not in m.desired:
        return ""
    asked = m.desired[m.action.group].asked
    return "Launch is suspended" if asked is not None and Suspendable.LAUNCH in asked.suspended else ""


def no_launch_while_broken_open(m: Moment) -> str:
    if not isinstance(m.action, Launch) or m.action.group not in m.desired:
        return ""
    desired = m.desired[m.action.group]
    state = judge(
        m.group(desired.name),
        m.action.release,
        desired.breaker,
        grace=None if m.action.release == desired.trial else desired.grace,
        reset_at=desired.asked.breaker_reset_at if desired.asked else None,
        now=m.shown.at,
    )
    new = 1 + sum(
        1
        for each in m.done
        if isinstance(each, Launch) and (each.group, each.release) == (desired.name, m.action.release)
    )
    if state.allowed is None or new <= state.allowed:
        return ""
    return f"after {state.failures} failed rounds {state.allowed} may be launched"


def no_instance_twice(m: Moment) -> str:
    if not isinstance(m.action, Launch):
        return ""
    twice = m.find(m.action.instance) is not None or any(
        isinstance(each, Launch) and each.instance == m.action.instance for each in m.done
    )
    return f"{m.action.instance} is there already" if twice else ""


ALWAYS: tuple[Callable[[Moment], str], ...] = (
    never_more_than_max_and_surge,
    never_below_the_floor_by_our_own_hand,
    unknown_is_never_destroyed,
    no_launch_while_suspended,
    no_launch_while_broken_open,
    no_instance_twice,
)


# --- once nothing goes wrong any more ---------------------------------------------------------------------------------


def everyone_serves(desired: GroupDesired, observed: Observation) -> str:
    """What is wanted is there; of a failed zone's, in the others."""
    wanted = {each.release: each.count for each in desired.cohorts if each.serving}
    there = Counter(each.release for each in _members(desired, observed) if serves(each, desired, observed))
    if dict(there) == wanted:
        return ""
    return f"{desired.name}: {dict(there)} serve, {wanted} wanted (release: count)"


def every_instance_is_accounted_for(desired: GroupDesired, observed: Observation) -> str:
    """Nobody is left over: each one serves, or is lost with its zone."""
    left = [
        each.id
        for each in _members(desired, observed)
        if each.state is not State.TERMINATED
        and each.zone not in observed.failed_zones
        and not serves(each, desired, observed)
    ]
    return f"{desired.name}: left over: {', '.join(left)}" if left else ""


def zones_are_even(desired: GroupDesired, observed: Observation) -> str:
    zones = [each for each in desired.zones if each not in observed.failed_zones]
    there = Counter(each.zone for each in _members(desired, observed) if serves(each, desired, observed))
    counts = [there[each] for each in zones]
    uneven = max(counts, default=0) - min(counts, default=0) > 1
    return f"{desired.name}: {dict(there)} in the zones {', '.join(zones)}" if uneven else ""


CALM: tuple[Callable[[GroupDesired, Observation], str], ...] = (
    everyone_serves,
    every_instance_is_accounted_for,
    zones_are_even,
)


def _members(desired: GroupDesired, observed: Observation) -> list[Instance]:
    return [each for each in observed.instances if (each.app, each.group) == (desired.app, desired.name)]
