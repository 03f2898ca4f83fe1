"""Who must not stay in a group whatever the numbers say, and why: lost, on standby, failed, sick, too old, or in the
wrong zone.

Pure; called by `plan.fleet` before the cohorts choose among the others. What departs in service is replaced before it
goes: the cohort lacks it at once, and the rule "still needed" keeps it until its successor carries.
"""

import enum
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from homeport.model.asked import Suspendable
from homeport.model.breaker import BreakerPhase, BreakerState
from homeport.model.fleet import Check, Cohort, GroupDesired, Instance, Run, State, Target
from homeport.plan import hook
from homeport.plan.breaker import failed_at, judge, launched_at, overdue_at
from homeport.plan.illness import common_cause, describe, way
from homeport.plan.member import age, served, usable

_LAUNCHING = (State.PENDING, State.PENDING_WAIT)
_HEALTH = (Suspendable.REPLACE_UNHEALTHY, Suspendable.HEALTH_CHECK)
_MOSTLY = 2
"""From two unhealthy ones on, if they are half of those in service, it isn't the instances."""


class Why(enum.Enum):
    """LOST: with its zone. SPECIMEN: a failed launch that is kept for a look. TRIAL: one that fares like the sick ones,
    kept until it doesn't. FAILED: a launch that won't be. RENEWED: in service, but too old, or needed elsewhere."""

    LOST = "lost"
    STANDBY = "standby"
    SPECIMEN = "specimen"
    TRIAL = "trial"
    FAILED = "failed"
    SICK = "sick"
    RENEWED = "renewed"


class Departure(Struct, frozen=True, kw_only=True):
    """`at_once`: nobody comes first, for there is no room."""

    why: Why
    reason: str
    at_once: bool = False
    renewal: str = ""
    """RENEWED: `cycle`, `lifetime` or `rebalance`."""

    @property
    def cause(self) -> str:
        return self.renewal or self.why.value


class Note(Struct, frozen=True, kw_only=True):
    """What isn't done for a group, by which rule, and why."""

    rule: str
    text: str


class Scene(Struct, kw_only=True):
    """One group as it is seen. `everyone`, oldest first, includes those that have ended."""

    desired: GroupDesired
    everyone: Sequence[Instance]
    failed_zones: frozenset[str]
    now: datetime

    @property
    def suspended(self) -> frozenset[Suspendable]:
        return frozenset(self.desired.asked.suspended if self.desired.asked else ())

    @property
    def count(self) -> int:
        return sum(each.count for each in self.desired.cohorts)

    @property
    def room(self) -> int:
        """How many may be there beside those that the cohorts count."""
        return max(self.desired.max, self.count) + self.desired.surge - self.count

    @property
    def kept(self) -> dict[int, Cohort]:
        """Release → cohort, of those that the group keeps by itself: no deployment tries them."""
        return {
            each.release: each for each in self.desired.cohorts if each.launch and each.release != self.desired.trial
        }

    def in_service(self, each: Instance) -> bool:
        """Also while it drains: who is about to leave counts until he has left."""
        return each.state is State.IN_SERVICE and (not self.desired.balanced or each.target is not Target.UNUSED)

    def breaker(self, release: int) -> BreakerState:
        asked = self.desired.asked
        return judge(
            self.everyone,
            release,
            self.desired.breaker,
            grace=None if release == self.desired.trial else self.desired.grace,
            reset_at=asked.breaker_reset_at if asked else None,
            now=self.now,
        )


class Findings(Struct, kw_only=True):
    """`notes`: what isn't done, and why. `wakes`: when somebody may have to depart by the clock alone."""

    departures: dict[str, Departure] = {}
    notes: list[Note] = []
    wakes: list[datetime] = []
    breakers: dict[int, BreakerState] = {}
    mass: str = ""
    """What most of those in service suffer from; empty: they don't."""
    cycle_stopped: str = ""
    """Why nobody is replaced any more by a cycle that was asked for; empty: it goes on, or there is none."""


def find(scene: Scene) -> Findings:
    """Who departs, and what keeps others from it."""
    found = Findings()
    present = [each for each in scene.everyone if each.state is not State.TERMINATED]
    found.breakers = {each.release: scene.breaker(each.release) for each in scene.desired.cohorts if each.launch}
    _lost(scene, present, found)
    _standby(scene, present, found)
    others = [
        each
        for each in present
        if usable(each)
        and each.id not in found.departures
        and each.run is not Run.UNKNOWN
        and each.next_release is None
    ]
    for each in others:
        if hook.abandoned(each, scene.now):
            found.departures[each.id] = Departure(why=Why.FAILED, reason="its launching hook doesn't let it go on")
    kept = [each for each in others if each.release in scene.kept and each.id not in found.departures]
    overdue = _overdue(scene, kept, found)
    sick = [each for each in kept if scene.in_service(each) and each.check is Check.UNHEALTHY]
    serving = [each for each in kept if scene.in_service(each)]
    trials = _mass(scene, serving, sick, overdue, found)
    if scene.suspended & {*_HEALTH, Suspendable.TERMINATE}:
        if sick or overdue:
            names = ", ".join(sorted(each.value for each in scene.suspended & {*_HEALTH, Suspendable.TERMINATE}))
            text = f"{_plural(len(sick) + len(overdue))} unhealthy and not replaced: {names} suspended"
            found.notes.append(Note(rule="suspended", text=text))
    else:
        _failed(scene, overdue, trials, found)
        _sick(scene, sick, others, found)
    if serving and not sick and not overdue:
        _renewed(scene, serving, found)
    return found


def _lost(scene: Scene, present: Sequence[Instance], found: Findings) -> None:
    for each in present:
        if each.zone in scene.failed_zones:
            found.departures[each.id] = Departure(why=Why.LOST, reason=f"lost with zone {each.zone}")


def _standby(scene: Scene, present: Sequence[Instance], found: Findings) -> None:
    asked = {each.instance for each in scene.desired.asked.standby} if scene.desired.asked else set()
    for each in present:
        if each.id in asked and each.state in (State.IN_SERVICE, State.STANDBY) and usable(each):
            found.departures.setdefault(each.id, Departure(why=Why.STANDBY, reason="on standby, as it was asked"))


def _overdue(scene: Scene, kept: Sequence[Instance], found: Findings) -> list[Instance]:
    """Launches that should have become healthy by now."""
    late = []
    for each in kept:
        if each.state not in _LAUNCHING or served(each):
            continue
        if failed_at(each, scene.desired.breaker, scene.desired.grace, scene.now) is not None:
            late.append(each)
        else:
            found.wakes.append(overdue_at(each, scene.desired.grace))
    return late


def _mass(
    scene: Scene, serving: Sequence[Instance], sick: Sequence[Instance], overdue: Sequence[Instance], found: Findings
) -> list[Instance]:
    """Launches that fare as the sick ones do. With them, or where most are sick at once, the instances aren't the
    cause."""
    ways = {way(each) for each in sick}
    trials = [each for each in overdue if way(each) in ways]
    many = len(sick) >= _MOSTLY and 2 * len(sick) >= min(len(serving), scene.count)
    if many or trials:
        cause = common_cause([*sick, *trials])
        found.mass = f"{len(sick)} of {len(serving)} in service are unhealthy at once" + (f", {cause}" if cause else "")
    return trials


def _failed(scene: Scene, overdue: Sequence[Instance], trials: Sequence[Instance], found: Findings) -> None:
    """Ended, but for one: a trial, or a specimen where the breaker is open."""
    room = scene.room
    for each in sorted(trials, key=age)[: max(0, room)][:1]:
        reason = f"it fares like those in service ({describe(each)}): kept, to see when that ends"
        found.departures[each.id] = Departure(why=Why.TRIAL, reason=reason)
        room -= 1
    for each in sorted(overdue, key=lambda each: (launched_at(each), age(each)), reverse=True):
        if each.id in found.departures:
            continue
        breaker = found.breakers[each.release]
        looping = breaker.failures >= scene.desired.breaker.failures and not each.disk_full
        if looping and not breaker.specimen and room > 0:
            found.breakers[each.release] = replace(breaker, specimen=each.id)
            reason = f"kept for a look, without traffic: {describe(each)}"
            found.departures[each.id] = Departure(why=Why.SPECIMEN, reason=reason)
            room -= 1
        else:
            reason = f"never in service: {describe(each)}"
            found.departures[each.id] = Departure(why=Why.FAILED, reason=reason)


def _sick(scene: Scene, sick: Sequence[Instance], others: Sequence[Instance], found: Findings) -> None:
    """Those that have been unhealthy for long enough; as many at once as there is room to replace first. While most
    are sick: within the budget, and none while one that was launched since is no better."""
    due = []
    for each in sick:
        due_at = sick_at(scene.desired, each)
        if due_at is not None and scene.now >= due_at:
            due.append(each)
    aside = sum(1 for each in found.departures.values() if each.why in (Why.TRIAL, Why.SPECIMEN))
    room = scene.room - aside
    limit = room
    if found.mass:
        tried = any(each.why is Why.TRIAL for each in found.departures.values())
        limit = 0 if tried else min(room, scene.desired.replace_budget)
        rest = "one is tried that was launched since" if tried else f"replaced {scene.desired.replace_budget} at a time"
        found.notes.append(Note(rule="mass unhealthiness", text=f"{found.mass}: not the instances' fault, {rest}"))
    complete = sum(1 for each in others if each.state is State.IN_SERVICE) >= scene.count
    at_once = room <= 0 and complete
    chosen = sorted(due, key=lambda each: (each.target is not Target.DRAINING, each.check_since_at, age(each)))
    for each in chosen[: 1 if at_once else max(0, limit)]:
        reason = f"unhealthy since {each.check_since_at:%H:%M:%S}: {describe(each)}"
        found.departures[each.id] = Departure(why=Why.SICK, reason=reason, at_once=at_once)


def sick_at(desired: GroupDesired, instance: Instance) -> datetime | None:
    """When an unhealthy one is to be replaced; None: since when it is unhealthy isn't known."""
    if instance.check_since_at is None:
        return None
    return max(instance.check_since_at + desired.replaced_after, launched_at(instance) + desired.grace)


def _renewed(scene: Scene, serving: Sequence[Instance], found: Findings) -> None:
    """In service and well, but older than may be, or one more in its zone than in another. Never while a deployment
    goes on."""
    aged, batch = _aged(scene, serving, found)
    moved = [] if aged else _misplaced(scene, serving)
    if not aged and not moved:
        return
    cycle = scene.desired.asked.cycle if scene.desired.asked else None
    by_cycle = {each.id for each in aged if cycle is not None and each.created_at < cycle.older_than_at}
    problem = _not_renewed(scene, serving[0].release, found, asked=bool(by_cycle))
    if problem:
        text = f"{_plural(len(aged) or 1)} to be replaced, but {problem}"
        found.notes.append(Note(rule="renewal waits", text=text))
        return
    for each in aged[: min(batch, scene.room)]:
        reason = f"launched {each.created_at:%Y-%m-%d %H:%M:%S}: older than it may be"
        renewal = "cycle" if each.id in by_cycle else "lifetime"
        found.departures[each.id] = Departure(why=Why.RENEWED, reason=reason, renewal=renewal)
    for each in moved:
        reason = f"zone {each.zone} has two more than another of {', '.join(_zones(scene))}"
        found.departures[each.id] = Departure(why=Why.RENEWED, reason=reason, renewal="rebalance")


def _not_renewed(scene: Scene, release: int, found: Findings, *, asked: bool) -> str:
    """Why nobody who is well is replaced just now; empty: nothing speaks against it. `asked`: a person wants it, and a
    launch that failed before that doesn't count."""
    breaker = found.breakers.get(release)
    if scene.desired.trial is not None:
        return "a deployment goes on"
    if held := scene.suspended & {Suspendable.TERMINATE, Suspendable.LAUNCH}:
        return f"{', '.join(sorted(each.value for each in held))} suspended"
    if scene.room < 1:
        return f"surge = {scene.desired.surge} leaves no room for a replacement"
    if breaker is None or breaker.phase is not BreakerPhase.CLOSED:
        return f"launches of r{release} fail"
    if (
        not asked
        and breaker.last_at is not None
        and scene.now < (until_at := breaker.last_at + scene.desired.breaker.longest)
    ):
        found.wakes.append(until_at)
        return f"a launch of r{release} has failed: not before {until_at:%H:%M:%S}"
    return ""


def _aged(scene: Scene, serving: Sequence[Instance], found: Findings) -> tuple[list[Instance], int]:
    """Those to be replaced for their age, first come first, and how many at a time."""
    desired = scene.desired
    cycle = desired.asked.cycle if desired.asked else None
    order = sorted(serving, key=lambda each: (each.target is not Target.DRAINING, age(each)))
    if cycle is not None:
        old = [each for each in order if each.created_at < cycle.older_than_at]
        failed = [
            each
            for each in scene.everyone
            if launched_at(each) >= cycle.since_at
            and failed_at(each, desired.breaker, desired.grace, scene.now) is not None
        ]
        if old and not failed:
            return old, cycle.batch
        if old:
            found.cycle_stopped = f"{failed[-1].id} failed: {describe(failed[-1])}"
            text = f"the cycle has stopped, {_plural(len(old))} left: {found.cycle_stopped}"
            found.notes.append(Note(rule="cycle stopped", text=text))
    if desired.max_lifetime is None:
        return [], 1
    found.wakes += [each.created_at + desired.max_lifetime for each in order]
    return [each for each in order if scene.now >= each.created_at + desired.max_lifetime], 1


def _zones(scene: Scene) -> list[str]:
    return [each for each in scene.desired.zones if each not in scene.failed_zones]


def _misplaced(scene: Scene, serving: Sequence[Instance]) -> list[Instance]:
    """The one to go where a zone has two more than another, and nobody is missing or too many."""
    zones = _zones(scene)
    if Suspendable.AZ_REBALANCE in scene.suspended or not scene.count <= len(serving) <= scene.count + 1:
        return []
    population = Counter(each.zone for each in serving)
    least = min((population[each] for each in zones), default=0)
    fullest = max(zones, key=lambda zone: population[zone], default="")
    if population[fullest] - least < _MOSTLY:
        return []
    there = [each for each in serving if each.zone == fullest]
    return [max(there, key=lambda each: (each.target is Target.DRAINING, age(each)))]


def _plural(count: int) -> str:
    return f"{count} instance" + ("" if count == 1 else "s")
