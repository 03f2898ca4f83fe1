"""The fleet decider: what one group needs now, so that it becomes what it shall be.

Pure. Called by `control.environment` for each group, in every state of the world, as often as it likes: what it answers
depends on `desired` and `observed` alone, so a crash between any two actions is healed by asking again.

First every instance gets a role (`plan.cohort`), then the ordered, first-match table `RULES` says what happens to it.
Read the table aloud: each row is "if …, then … because …".
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.fleet import (
    Action,
    Check,
    Decision,
    Drain,
    GroupDesired,
    Inherit,
    Instance,
    Kill,
    Launch,
    Observation,
    Plan,
    PutInService,
    Run,
    Start,
    State,
    Stop,
    Target,
    Terminate,
)
from homeport.plan.cohort import Role, assign, carries, emptiest_zone

SHORT_LIFE = timedelta(seconds=60)
LONGEST_BACKOFF = timedelta(seconds=60)


class Situation(Struct, frozen=True, kw_only=True):
    """All that a rule may look at."""

    instance: Instance
    role: Role
    desired: GroupDesired
    enough: bool
    """So many wanted instances carry traffic that one that isn't wanted may go."""
    now: datetime

    @property
    def leaving(self) -> bool:
        """It shall not carry traffic (any longer) as what it is now."""
        return self.role.cohort is None or self.role.convert or not self.role.cohort.serving

    @property
    def carrying(self) -> bool:
        return carries(self.instance, balanced=self.desired.balanced)

    @property
    def connections_until_at(self) -> datetime | None:
        at = self.instance.drain_at
        return None if at is None else at + self.desired.drain

    @property
    def kill_at(self) -> datetime | None:
        at = self.instance.stop_at
        return None if at is None else at + self.desired.stop_grace

    @property
    def open_connections(self) -> bool:
        """True also where nobody knows."""
        return self.instance.target is Target.DRAINING and self.instance.in_flight != 0


class Outcome(Struct, frozen=True, kw_only=True):
    """What a rule answers: an action or a no-op, the reason, and when to look again."""

    reason: str
    action: Action | None = None
    wake_at: datetime | None = None


class Rule(Struct, frozen=True, kw_only=True):
    name: str
    when: Callable[[Situation], bool]
    then: Callable[[Situation], Outcome]


def past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now >= moment


def _stop_again(s: Situation) -> Outcome:
    release = None if s.instance.state is State.TERMINATING else s.instance.next_release
    return Outcome(
        action=Stop(instance=s.instance.id, next_release=release), reason="it was to stop, but TERM never reached it"
    )


def _start_next(s: Situation) -> Outcome:
    assert s.role.cohort is not None
    release = s.role.cohort.release
    return Outcome(action=Start(instance=s.instance.id, release=release), reason=f"next generation, with r{release}")


def _inherit(s: Situation) -> Outcome:
    assert s.role.cohort is not None
    release = s.role.cohort.release
    action = Inherit(instance=s.instance.id, release=release)
    return Outcome(action=action, reason=f"what it runs is the same in r{s.instance.release} and r{release}")


def _clean_up(s: Situation) -> Outcome:
    why = s.instance.reason or "its processes are gone"
    return Outcome(action=Terminate(instance=s.instance.id), reason=why)


def _drain(s: Situation) -> Outcome:
    return Outcome(action=Drain(instance=s.instance.id), reason=_why_leaving(s))


def _why_leaving(s: Situation) -> str:
    if s.role.convert and s.role.cohort is not None:
        return f"it gets r{s.role.cohort.release} in place"
    if s.role.cohort is not None:
        return f"r{s.instance.release} is kept without traffic"
    return f"one more than wanted of r{s.instance.release}"


def _convert(s: Situation) -> Outcome:
    assert s.role.cohort is not None
    return Outcome(
        action=Stop(instance=s.instance.id, next_release=s.role.cohort.release),
        reason=f"r{s.instance.release} ends here, r{s.role.cohort.release} comes",
    )


RULES: tuple[Rule, ...] = (
    Rule(
        name="unknown",
        when=lambda s: s.instance.run is Run.UNKNOWN,
        then=lambda s: Outcome(reason="nobody knows what it does; unknown never authorises destruction"),
    ),
    Rule(
        name="ignores TERM",
        when=lambda s: s.instance.run is Run.STOPPING and not s.instance.killed and past(s.kill_at, s.now),
        then=lambda s: Outcome(
            action=Kill(instance=s.instance.id),
            reason=f"still there {s.desired.stop_grace.total_seconds():g} s after TERM",
        ),
    ),
    Rule(
        name="stopping",
        when=lambda s: s.instance.run is Run.STOPPING,
        then=lambda s: Outcome(reason="it stops", wake_at=None if s.instance.killed else s.kill_at),
    ),
    Rule(
        name="stop was interrupted",
        when=lambda s: (
            s.instance.run is not Run.STOPPED
            and (s.instance.state is State.TERMINATING or s.instance.next_release is not None)
        ),
        then=_stop_again,
    ),
    Rule(
        name="between generations",
        when=lambda s: (
            s.instance.run is Run.STOPPED and s.instance.next_release is not None and s.role.cohort is not None
        ),
        then=_start_next,
    ),
    Rule(name="gone", when=lambda s: s.instance.run is Run.STOPPED, then=_clean_up),
    Rule(name="inherited", when=lambda s: s.role.inherit, then=_inherit),
    Rule(
        name="still needed",
        when=lambda s: s.leaving and not s.role.convert and s.carrying and not s.enough,
        then=lambda s: Outcome(reason="it carries on until its successors do"),
    ),
    Rule(
        name="drain",
        when=lambda s: s.leaving and s.instance.target is Target.READY,
        then=_drain,
    ),
    Rule(
        name="connections end",
        when=lambda s: s.leaving and s.open_connections and not past(s.connections_until_at, s.now),
        then=lambda s: Outcome(
            reason="its open requests and connections end"
            + (f" ({s.instance.in_flight} left)" if s.instance.in_flight else ""),
            wake_at=s.connections_until_at,
        ),
    ),
    Rule(name="convert", when=lambda s: s.role.convert, then=_convert),
    Rule(
        name="surplus",
        when=lambda s: s.role.cohort is None,
        then=lambda s: Outcome(action=Stop(instance=s.instance.id), reason=_why_leaving(s)),
    ),
    Rule(
        name="kept aside",
        when=lambda s: s.leaving,
        then=lambda s: Outcome(reason=f"r{s.instance.release} runs, without traffic"),
    ),
    Rule(
        name="ready",
        when=lambda s: not s.carrying and s.instance.check is Check.HEALTHY,
        then=lambda s: Outcome(action=PutInService(instance=s.instance.id), reason="its health check passes"),
    ),
    Rule(
        name="not ready yet",
        when=lambda s: not s.carrying,
        then=lambda s: Outcome(reason=s.instance.reason or f"it starts, check: {s.instance.check.value}"),
    ),
    Rule(
        name="in service",
        when=lambda s: True,
        then=lambda s: Outcome(reason=f"in service with r{s.instance.release}"),
    ),
)


def reconcile(desired: GroupDesired, observed: Observation, now: datetime) -> Plan:
    """What to do now for one group: decisions in the order in which they are to be carried out (what shall carry
    traffic first, launches before what is cleaned up: nobody waits for that), each with its reason, and when to look
    again at the latest."""
    everyone = [each for each in observed.instances if each.app == desired.app and each.group == desired.name]
    present = [each for each in everyone if each.state is not State.TERMINATED]
    roles = assign(desired, present)
    enough = _enough(desired, present, roles)
    decisions: list[Decision] = []
    wakes: list[datetime] = []
    for instance in present:
        situation = Situation(instance=instance, role=roles[instance.id], desired=desired, enough=enough, now=now)
        outcome = next(rule.then(situation) for rule in RULES if rule.when(situation))
        decisions.append(Decision(subject=instance.id, reason=outcome.reason, action=outcome.action))
        if outcome.wake_at is not None and outcome.wake_at > now:
            wakes.append(outcome.wake_at)
    decisions.sort(key=lambda each: not isinstance(each.action, PutInService))
    launches, wake_at = _launches(desired, observed, everyone, roles, now)
    wakes += [wake_at] if wake_at else []
    cleaned = [each for each in decisions if isinstance(each.action, Terminate)]
    others = [each for each in decisions if not isinstance(each.action, Terminate)]
    return Plan(decisions=(*others, *launches, *cleaned), wake_at=min(wakes, default=None))


def _enough(desired: GroupDesired, present: list[Instance], roles: dict[str, Role]) -> bool:
    """As many wanted instances carry traffic, and aren't known to be sick, as the serving cohorts count."""
    wanted = sum(cohort.count for cohort in desired.cohorts if cohort.serving)
    carrying = sum(
        1
        for each in present
        if (role := roles[each.id]).cohort is not None
        and role.cohort.serving
        and not role.convert
        and carries(each, balanced=desired.balanced)
        and each.check is not Check.UNHEALTHY
    )
    return carrying >= wanted


def _launches(
    desired: GroupDesired,
    observed: Observation,
    everyone: list[Instance],
    roles: dict[str, Role],
    now: datetime,
) -> tuple[list[Decision], datetime | None]:
    """Launches for what the cohorts lack, spread over the zones; or when the back-off after failures ends."""
    decisions: list[Decision] = []
    wakes: list[datetime] = []
    ordinal = observed.last_ordinal.get(desired.name, 0)
    zones = [each.zone for each in everyone if roles.get(each.id, Role()).cohort is not None]
    for cohort in desired.cohorts:
        have = sum(1 for role in roles.values() if role.cohort == cohort)
        missing = cohort.count - have if cohort.launch else 0
        if missing <= 0:
            continue
        until_at = backoff_until(everyone, cohort.release)
        if until_at is not None and now < until_at:
            reason = f"r{cohort.release} keeps ending soon after its start: no launch before {until_at:%H:%M:%S}"
            decisions.append(Decision(subject=desired.name, reason=reason))
            wakes.append(until_at)
            continue
        for _ in range(missing):
            ordinal += 1
            zone = emptiest_zone(desired.zones, zones)
            zones.append(zone)
            action = Launch(
                app=desired.app,
                group=desired.name,
                instance=f"{desired.name}-{ordinal}",
                zone=zone,
                release=cohort.release,
            )
            reason = f"{cohort.count} of r{cohort.release} wanted, {have} there"
            decisions.append(Decision(subject=action.instance, reason=reason, action=action))
    return decisions, min(wakes, default=None)


def backoff_until(everyone: list[Instance], release: int) -> datetime | None:
    """When the next launch of a release may be, after instances that died by themselves within a minute of their start:
    at once after the first, then 1 s, 2 s, 4 s … up to a minute after the last death. None: now."""
    ended = sorted(
        (each for each in everyone if each.release == release and each.ended_at is not None),
        key=lambda each: (each.ended_at, each.id),
        reverse=True,
    )
    failures = 0
    for each in ended:
        if not (each.died and each.ended_at and each.ended_at - (each.started_at or each.created_at) < SHORT_LIFE):
            break
        failures += 1
    if failures < 2:
        return None
    last_at = ended[0].ended_at
    assert last_at is not None
    return last_at + min(LONGEST_BACKOFF, timedelta(seconds=2.0 ** min(failures - 2, 10)))
