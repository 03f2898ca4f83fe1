"""The launch breaker: when a release's launches in a group fail again and again, fewer and fewer are made.

Pure, and derived from the observed history of launches alone: nothing is persisted, so no crash forgets or repeats
anything. Called by `plan.fleet`.

A *round* is what was launched without knowing how the round before had failed: nine instances that a dead database
takes down together are one failure, not nine.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.model.breaker import BreakerPhase, BreakerState
from homeport.model.fleet import Check, Instance, Run, State
from homeport.model.platform import Breaker
from homeport.plan import hook
from homeport.plan.illness import describe
from homeport.plan.member import served

LONGEST_START = timedelta(minutes=10)
"""From launch until its processes run: fetching and unpacking included."""
_WITHOUT_PAUSE = 1
"""So many failed rounds are answered at once."""


class Failure(Struct, frozen=True, kw_only=True):
    """A launch that failed: when it was made, when it was known to have failed."""

    instance: Instance
    launched_at: datetime
    at: datetime


def launched_at(instance: Instance) -> datetime:
    return instance.started_at or instance.created_at


def overdue_at(instance: Instance, grace: timedelta) -> datetime:
    """When one that isn't healthy by then has failed. What hasn't been started yet has longer."""
    if instance.run is Run.STARTING:
        return instance.created_at + LONGEST_START
    return launched_at(instance) + grace


def failed_at(instance: Instance, settings: Breaker, grace: timedelta | None, now: datetime) -> datetime | None:
    """When its launch failed; None: it didn't, or nobody can say yet. `grace` None: health doesn't count."""
    start_at, end_at = launched_at(instance), instance.ended_at
    if not instance.launched:
        return end_at or now
    if instance.died:
        end_at = end_at or now
        return end_at if not served(instance) or end_at - start_at < settings.soon else None
    if grace is None or served(instance):
        return None
    if hook.abandoned(instance, now):
        return end_at or now
    due_at = overdue_at(instance, grace)
    if instance.state is State.TERMINATED:
        return end_at if end_at is not None and end_at >= due_at else None
    doubtful = instance.check in (Check.HEALTHY, Check.UNKNOWN) or instance.run is Run.UNKNOWN
    return None if doubtful or now < due_at else due_at


def judge(
    history: Iterable[Instance],
    release: int,
    settings: Breaker,
    *,
    grace: timedelta | None,
    reset_at: datetime | None,
    now: datetime,
) -> BreakerState:
    """The breaker's state. `history`: the group's instances, those that have ended included, as far as they are known.
    `grace` None: only death counts, as for a release that was never good. `reset_at`: earlier launches don't count."""
    counted = [
        each
        for each in history
        if each.release == release and not each.zone_failed and (reset_at is None or launched_at(each) >= reset_at)
    ]
    failures = _streak(counted, settings, grace, now)
    rounds = _rounds(failures)
    if not failures or rounds <= _WITHOUT_PAUSE:
        return BreakerState(release=release, failures=rounds, last_at=failures[-1].at if failures else None)
    last = failures[-1]
    until_at = last.at + pause(rounds, settings)
    since = [each for each in counted if launched_at(each) >= last.at and each.state is not State.TERMINATED]
    serves = any(each.state is State.IN_SERVICE and each.check is not Check.UNHEALTHY for each in since)
    trying = any(each.state is not State.TERMINATING and each.run is not Run.STOPPED for each in since)
    # for want of disk no release is to blame: launches pause, and go on when there is some
    blamed = _rounds([each for each in failures if not each.instance.disk_full])
    phase = BreakerPhase.OPEN if blamed >= settings.failures else BreakerPhase.WAITING
    return BreakerState(
        release=release,
        phase=BreakerPhase.HALF_OPEN if serves or trying else phase,
        failures=rounds,
        launches=sum(1 for each in counted if launched_at(each) >= failures[0].launched_at),
        spent=sum(((each.instance.ended_at or now) - each.launched_at for each in failures), timedelta()),
        last_at=last.at,
        until_at=until_at,
        allowed=None if serves else 0 if trying or now < until_at else 1,
        reason=describe(last.instance),
    )


def pause(rounds: int, settings: Breaker) -> timedelta:
    """From the last failure to the next attempt: none after the first round, then doubled each time."""
    if rounds <= _WITHOUT_PAUSE:
        return timedelta()
    return min(settings.longest, settings.backoff * 2.0 ** min(rounds - _WITHOUT_PAUSE - 1, 30))


def _streak(counted: Sequence[Instance], settings: Breaker, grace: timedelta | None, now: datetime) -> list[Failure]:
    """The failures since a launch last went well, in order; older ones than a quiet `window` are forgotten."""
    failures = [
        Failure(instance=each, launched_at=launched_at(each), at=at)
        for each in counted
        if (at := failed_at(each, settings, grace, now)) is not None
    ]
    if not failures:
        return []
    failures.sort(key=lambda each: (each.at, each.launched_at, each.instance.id))
    failed = {each.instance.id for each in failures}
    well = [
        launched_at(each) + settings.soon
        for each in counted
        if each.id not in failed and served(each) and (each.ended_at or now) - launched_at(each) >= settings.soon
    ]
    since_at = max(well, default=None)
    streak: list[Failure] = []
    after_at = now
    for each in reversed(failures):
        if (since_at is not None and each.at <= since_at) or after_at - each.at > settings.window:
            break
        streak.append(each)
        after_at = each.at
    return streak[::-1]


def _rounds(failures: Sequence[Failure]) -> int:
    rounds, known_at = 0, None
    for each in sorted(failures, key=lambda each: (each.launched_at, each.at)):
        if known_at is None or each.launched_at >= known_at:
            rounds, known_at = rounds + 1, each.at
        else:
            known_at = min(known_at, each.at)
    return rounds
