"""The rules of the fleet decider: what happens to an instance, by the role that it has. Pure. Called by `plan.fleet`.

`RULES` is ordered, and the first that fits counts. Read it aloud: each row is "if …, then … because …".
"""

from datetime import datetime

from homeport.model.action import AskHook, Drain, EnterStandby, Kill, PutInService, Start, Stop, Terminate
from homeport.model.asked import Suspendable
from homeport.model.fleet import Check, Run, State, Target
from homeport.plan import hook
from homeport.plan.departure import Why, sick_at
from homeport.plan.illness import describe
from homeport.plan.rule import FLOOR, IN_SERVICE, INHERITED, UNKNOWN, Outcome, Rule, Situation


class FleetSituation(Situation, frozen=True, kw_only=True):
    suspended: frozenset[Suspendable]
    now: datetime

    def goes(self, *why: Why) -> bool:
        """It departs for one of these reasons."""
        return self.role.departure is not None and self.role.departure.why in why

    @property
    def leaving(self) -> bool:
        """It shall not carry traffic (any longer) as what it is now."""
        return self.role.cohort is None or self.role.convert or not self.role.cohort.serving

    @property
    def ends(self) -> bool:
        """Nobody wants it any more, as whatever."""
        return self.role.cohort is None and not self.goes(Why.STANDBY)

    @property
    def asks_launching(self) -> bool:
        """Its launching hook is to be asked."""
        fresh = self.instance.state is State.PENDING and self.instance.in_service_at is None
        return self.desired.launching is not None and fresh and self.role.cohort is not None

    @property
    def asks_terminating(self) -> bool:
        """Its terminating hook is to be asked: not of what never served, nor of what can't answer."""
        alive = self.instance.run is Run.RUNNING and self.instance.in_service_at is not None
        return self.desired.terminating is not None and alive and self.ends

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


def past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now >= moment


def _stop_again(s: FleetSituation) -> Outcome:
    release = None if s.instance.state is State.TERMINATING else s.instance.next_release
    return Outcome(
        action=Stop(instance=s.instance.id, next_release=release), reason="it was to stop, but TERM never reached it"
    )


def _start_next(s: FleetSituation) -> Outcome:
    action = Start(instance=s.instance.id, release=s.release)
    return Outcome(action=action, reason=f"next generation, with r{s.release}")


def _clean_up(s: FleetSituation) -> Outcome:
    why = s.instance.reason or "its processes are gone"
    return Outcome(action=Terminate(instance=s.instance.id), reason=why)


def _drain(s: FleetSituation) -> Outcome:
    return Outcome(action=Drain(instance=s.instance.id), reason=_why_leaving(s))


def _why_leaving(s: FleetSituation) -> str:
    if s.role.departure is not None:
        return s.role.departure.reason
    if s.role.convert:
        return f"it gets r{s.release} in place"
    if s.role.cohort is not None:
        return f"r{s.instance.release} is kept without traffic"
    return f"one more than wanted of r{s.instance.release}"


def _ask(s: FleetSituation, *, terminating: bool) -> Outcome:
    asked = s.desired.terminating if terminating else s.desired.launching
    assert asked is not None
    when = "before it ends" if terminating else "before it is in service"
    action = AskHook(instance=s.instance.id, hook=asked, terminating=terminating)
    return Outcome(action=action, reason=f"a hook is asked {when}")


def _waits_for_hook(s: FleetSituation) -> Outcome:
    assert s.instance.hook is not None
    said = f": {s.instance.hook.said}" if s.instance.hook.said else ""
    return Outcome(reason=f"its hook is waited for{said}", wake_at=hook.until_at(s.instance.hook))


def _hook_open(s: FleetSituation, state: State) -> bool:
    """The instance waits for a hook in this state."""
    return s.instance.state is state and s.instance.hook is not None and hook.verdict(s.instance.hook, s.now) is None


def _sick(s: FleetSituation) -> Outcome:
    since = f" since {s.instance.check_since_at:%H:%M:%S}" if s.instance.check_since_at else ""
    return Outcome(
        reason=f"in service, unhealthy{since}: {describe(s.instance)}", wake_at=sick_at(s.desired, s.instance)
    )


def _convert(s: FleetSituation) -> Outcome:
    return Outcome(
        action=Stop(instance=s.instance.id, next_release=s.release),
        reason=f"r{s.instance.release} ends here, r{s.release} comes",
    )


RULES: tuple[Rule[FleetSituation], ...] = (
    Rule(
        name="lost with its zone",
        when=lambda s: s.goes(Why.LOST) and s.instance.target is Target.READY,
        then=lambda s: Outcome(action=Drain(instance=s.instance.id, at_once=True), reason=_why_leaving(s)),
    ),
    Rule(
        name="lost",
        when=lambda s: s.goes(Why.LOST) and s.instance.run is not Run.STOPPED,
        then=lambda s: Outcome(reason=f"{_why_leaving(s)}: nothing reaches it there"),
    ),
    UNKNOWN,
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
    Rule(
        name="dead, and left so",
        when=lambda s: s.instance.run is Run.STOPPED and s.role.cohort is not None,
        then=lambda s: Outcome(reason="it has ended; ReplaceUnhealthy is suspended"),
    ),
    Rule(name="gone", when=lambda s: s.instance.run is Run.STOPPED, then=_clean_up),
    Rule(
        name="terminating hook goes on",
        when=lambda s: _hook_open(s, State.TERMINATING_WAIT),
        then=_waits_for_hook,
    ),
    Rule(
        name="terminating hook has ended",
        when=lambda s: s.instance.state is State.TERMINATING_WAIT,
        then=lambda s: Outcome(action=Stop(instance=s.instance.id), reason="its hook lets it end"),
    ),
    INHERITED,
    Rule(
        name="kept for a look",
        when=lambda s: s.goes(Why.SPECIMEN, Why.TRIAL),
        then=lambda s: Outcome(reason=_why_leaving(s)),
    ),
    Rule(
        name="on standby",
        when=lambda s: s.goes(Why.STANDBY) and s.instance.state is State.STANDBY,
        then=lambda s: Outcome(reason=_why_leaving(s)),
    ),
    Rule(
        name="Terminate is suspended",
        when=lambda s: s.ends and Suspendable.TERMINATE in s.suspended,
        then=lambda s: Outcome(reason=f"{_why_leaving(s)}, but Terminate is suspended"),
    ),
    Rule(
        name="still needed",
        when=lambda s: s.leaving and not s.role.convert and s.carrying and not s.enough,
        then=lambda s: Outcome(
            reason="it carries on until its successors do" + (f": {_why_leaving(s)}" if s.role.departure else "")
        ),
    ),
    FLOOR,
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
        name="to standby",
        when=lambda s: s.goes(Why.STANDBY),
        then=lambda s: Outcome(action=EnterStandby(instance=s.instance.id), reason=_why_leaving(s)),
    ),
    Rule(name="terminating hook", when=lambda s: s.asks_terminating, then=lambda s: _ask(s, terminating=True)),
    Rule(
        name="surplus",
        when=lambda s: s.role.cohort is None,
        then=lambda s: Outcome(action=Stop(instance=s.instance.id), reason=_why_leaving(s)),
    ),
    Rule(
        name="launching hook",
        when=lambda s: s.asks_launching and s.instance.check is Check.HEALTHY,
        then=lambda s: _ask(s, terminating=False),
    ),
    Rule(
        name="launching hook goes on",
        when=lambda s: _hook_open(s, State.PENDING_WAIT),
        then=_waits_for_hook,
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
    Rule(name="sick", when=lambda s: s.instance.check is Check.UNHEALTHY, then=_sick),
    IN_SERVICE,
)
