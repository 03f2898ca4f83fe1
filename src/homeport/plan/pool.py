"""The decider of a group on an engine that heals: how many instances it keeps, and what becomes of those there are.

Pure; the sibling of `plan.fleet`, for engines on which launching, replacing and spreading is the engine's own (AWS's
Auto Scaling groups). What is left to decide: the capacity, an absolute number, so that repeating it is harmless; who
gets his next generation in place, and when; who leaves. Called by `control.environment`.

`RULES` is ordered, and the first that fits counts.
"""

from collections.abc import Sequence
from datetime import datetime

from homeport.model.action import (
    Decision,
    Drain,
    EnterStandby,
    Plan,
    PutInService,
    SetCapacity,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import GroupAsked
from homeport.model.fleet import Capacity, Check, Cohort, GroupDesired, Instance, Observation, State, Target
from homeport.plan.asked import to_cycle
from homeport.plan.cohort import SURPLUS, Role, assign
from homeport.plan.departure import Departure, Why
from homeport.plan.floor import carrying, held
from homeport.plan.hold import held as held_back
from homeport.plan.member import age
from homeport.plan.rule import FLOOR, IN_SERVICE, INHERITED, UNKNOWN, Outcome, Rule, Situation

STAY = ("still needed", "surplus", "unknown", "goes on standby")
ENDING = (State.TERMINATING, State.TERMINATING_WAIT, State.TERMINATED)


class PoolSituation(Situation, frozen=True, kw_only=True):
    closing: bool
    """Nobody is wanted any more: the capacity says so."""
    standby: bool
    """A person wants it out of traffic, and alive."""

    @property
    def turning(self) -> bool:
        """Its next generation is being made."""
        return self.instance.next_release is not None

    @property
    def aside(self) -> bool:
        """Kept without traffic. What is only made is given its traffic by the engine, as soon as it is well."""
        cohort = self.role.cohort
        return cohort is not None and not cohort.serving and not cohort.launch

    @property
    def registered(self) -> bool:
        return self.instance.target is not Target.UNUSED or self.instance.check is Check.INITIAL


RULES: tuple[Rule[PoolSituation], ...] = (
    Rule(
        name="waits to end",
        when=lambda s: s.instance.state is State.TERMINATING_WAIT and s.instance.stop_at is None,
        then=lambda s: Outcome(action=Stop(instance=s.instance.id), reason="its group ends it: TERM, then its grace"),
    ),
    Rule(name="ends", when=lambda s: s.instance.state in ENDING, then=lambda s: Outcome(reason="its group ends it")),
    UNKNOWN,
    Rule(
        name="on standby",
        when=lambda s: s.standby and s.instance.state is State.STANDBY,
        then=lambda s: Outcome(reason="a person wants it on standby"),
    ),
    Rule(
        name="comes back",
        when=lambda s: s.instance.state is State.STANDBY,
        then=lambda s: Outcome(
            action=PutInService(instance=s.instance.id), reason="nobody wants it on standby any more"
        ),
    ),
    Rule(
        name="turning",
        when=lambda s: s.turning,
        then=lambda s: Outcome(reason=f"homeport-agent brings r{s.instance.next_release}"),
    ),
    Rule(
        name="goes on standby",
        when=lambda s: s.standby and s.instance.state is State.IN_SERVICE,
        then=lambda s: Outcome(action=EnterStandby(instance=s.instance.id), reason="a person wants it on standby"),
    ),
    INHERITED,
    Rule(
        name="boots",
        when=lambda s: s.instance.state is not State.IN_SERVICE,
        then=lambda s: Outcome(reason=s.instance.reason or "it boots"),
    ),
    FLOOR,
    Rule(
        name="can't be told",
        when=lambda s: s.role.convert and s.instance.unheard == s.release,
        then=lambda s: Outcome(
            action=Terminate(instance=s.instance.id),
            reason=f"it can't be told to bring r{s.release}: another takes its place",
        ),
    ),
    Rule(
        name="drain",
        when=lambda s: (s.role.convert or s.aside) and s.instance.target is Target.READY,
        then=lambda s: Outcome(
            action=Drain(instance=s.instance.id),
            reason=f"it gets r{s.release} in place" if s.role.convert else f"r{s.release} is kept without traffic",
        ),
    ),
    Rule(
        name="connections end",
        when=lambda s: (s.role.convert or s.aside) and s.instance.target is Target.DRAINING,
        then=lambda s: Outcome(reason="its open requests and connections end"),
    ),
    Rule(
        name="convert",
        when=lambda s: s.role.convert,
        then=lambda s: Outcome(
            action=Start(instance=s.instance.id, release=s.release),
            reason=f"r{s.instance.release} ends here, r{s.release} comes",
        ),
    ),
    Rule(
        name="kept aside",
        when=lambda s: s.aside,
        then=lambda s: Outcome(reason=f"r{s.instance.release} runs, without traffic"),
    ),
    Rule(
        name="goes with the capacity",
        when=lambda s: s.role.cohort is None and s.closing,
        then=lambda s: Outcome(reason="nobody is wanted here any more"),
    ),
    Rule(
        name="still needed",
        when=lambda s: s.role.cohort is None and not s.enough,
        then=lambda s: Outcome(reason="it carries on until its successors do"),
    ),
    Rule(
        name="surplus",
        when=lambda s: s.role.cohort is None,
        then=lambda s: Outcome(
            action=Terminate(instance=s.instance.id), reason=f"one more than wanted of r{s.instance.release}"
        ),
    ),
    Rule(
        name="ready",
        when=lambda s: s.desired.balanced and not s.registered and s.instance.check is Check.HEALTHY,
        then=lambda s: Outcome(action=PutInService(instance=s.instance.id), reason="the agent found it healthy"),
    ),
    Rule(
        name="sick",
        when=lambda s: s.instance.check is Check.UNHEALTHY,
        then=lambda s: Outcome(reason=s.instance.reason or "its target check fails"),
    ),
    Rule(
        name="not ready yet",
        when=lambda s: not s.carrying,
        then=lambda s: Outcome(reason=s.instance.reason or "the balancer looks at it"),
    ),
    IN_SERVICE,
)


def reconcile(desired: GroupDesired, observed: Observation, now: datetime, members: Sequence[Instance]) -> Plan:
    """What to do now for one group; asked again whenever the engine was looked at."""
    present = sorted((each for each in members if each.state is not State.TERMINATED), key=age)
    asked = desired.asked or GroupAsked(app=desired.app, group=desired.name)
    standby = {each.instance for each in asked.standby}
    living = [each for each in present if each.state not in (*ENDING, State.STANDBY) and each.id not in standby]
    cycled = to_cycle(asked, living)[: asked.cycle.batch] if asked.cycle and desired.trial is None else []
    old = Departure(why=Why.RENEWED, reason="its group is cycled", renewal="cycle")
    roles = assign(desired.cohorts, living, dict.fromkeys((each.id for each in cycled), old))
    carried_on = held(desired, living, roles)
    wanted = sum(cohort.count for cohort in desired.cohorts if cohort.serving)
    everybody, well = carrying(desired, living, roles)
    decisions = []
    stay = booting = back = 0
    for instance in present:
        situation = PoolSituation(
            instance=instance,
            role=roles.get(instance.id, SURPLUS),
            desired=desired,
            enough=(everybody if instance.check is Check.UNHEALTHY else well) >= wanted,
            held=instance.id in carried_on,
            closing=not desired.cohorts,
            standby=instance.id in standby,
        )
        rule = next(rule for rule in RULES if rule.when(situation))
        outcome = rule.then(situation)
        stay += situation.role.cohort is None and rule.name in STAY
        booting += situation.role.cohort is None and rule.name == "boots"
        back += rule.name == "comes back"
        decisions.append(Decision(subject=instance.id, reason=outcome.reason, action=outcome.action, rule=rule.name))
    serving = [roles[each.id] for each in living if each.state is State.IN_SERVICE]
    known = next((each for each in observed.capacity if (each.app, each.group) == (desired.app, desired.name)), None)
    hold = held_back(desired, known, members, now)
    kept = _none(desired, known) or _capacity(desired, known, serving, stay=stay, booting=booting, back=back)
    return Plan(decisions=(*_refused(desired, members), *hold.decisions, *kept, *decisions), breakers=hold.breakers)


def _none(desired: GroupDesired, known: Capacity | None) -> tuple[Decision, ...]:
    """Nobody is wanted: all may go, and who comes into service meanwhile too."""
    if known is None or desired.cohorts or not (known.count or known.protected):
        return ()
    action = SetCapacity(app=desired.app, group=desired.name, count=0, going=known.protected)
    reason = f"none of {desired.name} is wanted, {known.count} are kept"
    return (Decision(subject=desired.name, reason=reason, action=action, rule="capacity"),)


def _refused(desired: GroupDesired, members: Sequence[Instance]) -> tuple[Decision, ...]:
    """What keeps the group from being whole, and is for people to mend."""
    refused = [each for each in members if not each.launched]
    if not refused:
        return ()
    newest = max(refused, key=lambda each: each.created_at)
    reason = f"no instance of it can be launched: {newest.reason}"
    return (Decision(subject=desired.name, reason=reason, rule="not launched"),)


def _capacity(
    desired: GroupDesired, known: Capacity | None, serving: Sequence[Role], *, stay: int, booting: int, back: int
) -> tuple[Decision, ...]:
    """`stay`, `booting`: so many that no cohort wants are still there; each goes by a word of its own, which takes the
    capacity down with it. One that boots never makes it more: it may be what was asked for, and not have said so.
    `back`: so many come from standby, which takes it up."""
    if known is None or not desired.cohorts:
        return ()  # its pool isn't there, or is gone; or `_none` has said it
    wanted = sum(_count(cohort, serving) for cohort in desired.cohorts)
    count = max(wanted + stay, min(known.count, wanted + stay + booting))
    if known.count < count:
        count = max(known.count, count - back)
    if known.count == count:
        return ()
    reason = f"{count} of {desired.name} are wanted, {known.count} are kept"
    action = SetCapacity(app=desired.app, group=desired.name, count=count)
    return (Decision(subject=desired.name, reason=reason, action=action, rule="capacity"),)


def _count(cohort: Cohort, serving: Sequence[Role]) -> int:
    """A cohort of which none is made has as many as are there; who only boots may yet be given up, and then the engine
    would make another."""
    kept = sum(1 for role in serving if role.cohort == cohort)
    return cohort.count if cohort.launch else min(cohort.count, kept)
