"""What instances on the memory engine do: it follows from the clock. Used by that engine, tests and simulation."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from homeport.model.fleet import Check, Instance, Probe, Run, Silence
from homeport.model.platform import HookResult


@dataclass(frozen=True)
class Behaviour:
    """What instances of a release do. Seconds count from the start of a generation; None: never."""

    starts_after: float | None = 0.0
    """From launch until its processes run; None: it is being started for ever."""
    healthy_after: float | None = 0.1
    unhealthy_after: float | None = None
    recovers_after: float | None = None
    """After it became unhealthy, which then comes again and again."""
    silence: Silence | None = Silence.TIMEOUT
    """How it fails its check; None: it answers, with 503."""
    dies_after: float | None = None
    crash_loops: bool = False
    stops_after: float | None = 0.1
    """From TERM to the end; None: ignores TERM."""
    hook_seconds: float | None = 0.1
    """Until a hook answers; None: it never does."""
    hook_result: HookResult = "CONTINUE"
    task_exit_code: int = 0
    task_seconds: float | None = 0.1
    """None: it hangs."""
    alarm_exit_code: int = 0
    """Of the commands of alarms."""
    prepare_fails: str = ""
    error_share: float = 0.0
    """Of its requests."""
    response_ms: int = 10


def run(kept: Instance, behaviour: Behaviour, age: float, now: datetime) -> tuple[Run, bool]:
    """What it does, and whether it died unasked."""
    if kept.run is Run.STOPPED:
        return Run.STOPPED, kept.died
    if kept.stop_at is not None:
        after = behaviour.stops_after
        gone = kept.killed or (after is not None and now >= kept.stop_at + timedelta(seconds=after))
        return (Run.STOPPED if gone else Run.STOPPING), False
    if behaviour.dies_after is not None and age >= behaviour.dies_after:
        return Run.STOPPED, True
    if kept.in_service_at is None and (behaviour.starts_after is None or age < behaviour.starts_after):
        return Run.STARTING, False
    return Run.RUNNING, False


def check(
    kept: Instance, behaviour: Behaviour, run: Run, age: float, outage_since_at: datetime | None
) -> tuple[Check, datetime | None]:
    """The check, and since when it fails."""
    start_at = kept.started_at or kept.created_at
    young = behaviour.healthy_after is None or age < behaviour.healthy_after
    if run is not Run.RUNNING or (young and (kept.in_service_at is None or kept.generation > 1)):
        return Check.INITIAL, None
    since: float | None = behaviour.unhealthy_after
    if since is not None and age >= since and behaviour.recovers_after is not None:
        turn = (age - since) // behaviour.recovers_after
        since = since + turn * behaviour.recovers_after if turn % 2 == 0 else None
    sick_at = None if since is None or age < since else start_at + timedelta(seconds=since)
    if outage_since_at is not None:
        if kept.in_service_at is None:
            return Check.INITIAL, None
        sick_at = min(sick_at or outage_since_at, outage_since_at)
    return (Check.UNHEALTHY, max(sick_at, start_at)) if sick_at is not None else (Check.HEALTHY, None)


def probe(behaviour: Behaviour, now: datetime, *, outage: bool) -> Probe:
    """What one that is unhealthy answers."""
    if outage or behaviour.silence is None:
        body = "no database at db.example:5432"
        return Probe(asked="GET /healthz", ok=False, at=now, status=503, body=body)
    words = behaviour.silence.value
    return Probe(asked="GET /healthz", ok=False, at=now, error=words, silence=behaviour.silence)


def ahead(kept: Instance, behaviour: Behaviour, now: datetime) -> list[float]:
    """Seconds until it may change by itself; what is past is negative."""
    age = (now - (kept.started_at or kept.created_at)).total_seconds()
    moments = [behaviour.starts_after, behaviour.healthy_after, behaviour.unhealthy_after, behaviour.dies_after]
    found = [each - age for each in moments if each is not None]
    if kept.stop_at is not None and behaviour.stops_after is not None:
        found.append((kept.stop_at - now).total_seconds() + behaviour.stops_after)
    if kept.hook is not None and behaviour.hook_seconds is not None:
        found.append((kept.hook.asked_at - now).total_seconds() + behaviour.hook_seconds)
    if behaviour.recovers_after is not None and behaviour.unhealthy_after is not None:
        into = age - behaviour.unhealthy_after
        found += [behaviour.recovers_after - into % behaviour.recovers_after] if into >= 0 else []
    return found
