"""What the launch breaker keeps a group from doing by itself, on an engine that heals. Pure. Called by `plan.pool`.

The rule is `plan.breaker`'s, as on every engine. What differs is who launches: the engine itself, as many as are
missing and as often as it likes. So an open breaker has it launch nobody, and end nobody for being ill: what can't be
replaced is better than nothing ("ReplaceUnhealthy continues to terminate unhealthy instances, but does not launch
replacements": Auto Scaling, "How suspended processes affect other processes"). An attempt is to let it launch again.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.model.action import Decision, HoldBack
from homeport.model.asked import Suspendable
from homeport.model.breaker import BreakerPhase, BreakerState
from homeport.model.fleet import Capacity, GroupDesired, Instance, State
from homeport.plan.breaker import judge

OPEN = (Suspendable.LAUNCH, Suspendable.REPLACE_UNHEALTHY)
TRYING = (Suspendable.REPLACE_UNHEALTHY,)


class Held(Struct, frozen=True, kw_only=True):
    decisions: tuple[Decision, ...] = ()
    breakers: tuple[BreakerState, ...] = ()
    """Those that aren't closed."""


def held(desired: GroupDesired, known: Capacity | None, members: Sequence[Instance], now: datetime) -> Held:
    """`known` None: there is no group. While a deployment goes on, that judges its release's launches itself, and
    nothing is kept back: so does what it brings come although what was there failed."""
    if known is None:
        return Held()
    reset_at = desired.asked.breaker_reset_at if desired.asked else None
    launching = [each.release for each in desired.cohorts if each.launch]
    found = [
        judge(members, release, desired.breaker, grace=desired.grace, reset_at=reset_at, now=now)
        for release in launching
    ]
    states = [each for each in found if each.phase is not BreakerPhase.CLOSED]
    open_ = [each for each in states if each.failures >= desired.breaker.failures] if desired.trial is None else []
    wanted = max((_processes(each) for each in open_), key=len, default=())
    decisions = []
    if wanted != known.held:
        action = HoldBack(app=desired.app, group=desired.name, processes=wanted)
        reason = _why(open_[0], wanted) if open_ else f"launches may go on: {_names(known.held)} no longer kept back"
        decisions.append(Decision(subject=desired.name, reason=reason, action=action, rule="breaker"))
    decisions += _notes(desired, members, open_, wanted)
    return Held(decisions=tuple(decisions), breakers=tuple(states))


def _processes(state: BreakerState) -> tuple[Suspendable, ...]:
    if state.phase is BreakerPhase.OPEN and state.allowed == 0:
        return OPEN
    return () if state.allowed is None else TRYING


def _why(state: BreakerState, wanted: Sequence[Suspendable]) -> str:
    failed = f"after {state.failures} failed rounds of r{state.release} ({state.reason})"
    if Suspendable.LAUNCH in wanted:
        return f"breaker open {failed}: {_names(wanted)} suspended, what there is stays"
    return f"{failed} it is tried again: " + (f"{_names(wanted)} stays suspended" if wanted else "one is in service")


def _notes(
    desired: GroupDesired, members: Sequence[Instance], states: Sequence[BreakerState], wanted: Sequence[Suspendable]
) -> Iterator[Decision]:
    """In the words of the engines that launch one by one."""
    if Suspendable.LAUNCH not in wanted:
        return
    there = sum(1 for each in members if each.state is State.IN_SERVICE)
    missing = max(0, sum(each.count for each in desired.cohorts if each.launch) - there)
    for state in states:
        until = f": none before {state.until_at:%H:%M:%S}" if state.until_at is not None else ""
        reason = f"{missing} of r{state.release} missing: breaker open after {state.failures} failed rounds "
        yield Decision(subject=desired.name, reason=f"{reason}({state.reason}){until}", rule="no launch")


def _names(processes: Sequence[Suspendable]) -> str:
    return " and ".join(each.value for each in processes)
