"""From what AWS says of a pool's members to instances as the deciders know them. Pure. Used by `engine`."""

from collections.abc import Mapping
from datetime import datetime

from msgspec.structs import replace

from homeport.engines.aws.fleet import RELEASE, Member, Pool, Refusal
from homeport.engines.aws.kept import Kept, Turn
from homeport.model.fleet import Check, Instance, Run, State, Target
from homeport.plan.aws_stacks import PORT
from homeport.plan.last_words import LastWords

STATES = {
    "Pending": State.PENDING,
    "Pending:Wait": State.PENDING_WAIT,
    "Pending:Proceed": State.PENDING,
    "InService": State.IN_SERVICE,
    "EnteringStandby": State.STANDBY,
    "Standby": State.STANDBY,
    "Terminating": State.TERMINATING,
    "Terminating:Wait": State.TERMINATING_WAIT,
    "Terminating:Proceed": State.TERMINATING,
    "Terminated": State.TERMINATED,
}
"""Those that aren't ours are the nearest of ours; of Quarantined, Detaching and what AWS may come to say, we know
nothing."""


def instance(
    pool: Pool, member: Member, kept: Kept, now: datetime, *, pulled: int, stop_at: datetime | None
) -> Instance:
    """`pulled`: the release of one that hasn't told yet what it runs. `stop_at`: when it was told to stop, if that is
    known."""
    state = STATES.get(member.lifecycle)
    turn = kept.turns.get(member.id)
    release = told(member) or pulled
    turning = turn is not None and not turn.failed and release != turn.release
    check, target = _target(pool, member)
    created_at = member.launched_at or now
    return Instance(
        id=member.id,
        app=pool.app,
        group=pool.group,
        zone=member.zone,
        release=release,
        next_release=turn.release if turn is not None and turning else None,
        state=state or State.PENDING,
        run=_run(state, turning=turning),
        check=Check.UNKNOWN if state is None else check,
        target=target,
        in_flight=0 if target is Target.UNUSED else None,
        address=member.address,
        port=PORT if pool.targets else None,
        created_at=created_at,
        started_at=turn.begun_at if turn is not None and release == turn.release else created_at,
        in_service_at=created_at if state is State.IN_SERVICE else None,
        stop_at=stop_at,
        reason=member.why if member.health not in ("", "healthy", "draining") else "",
    )


def refused(seen: Instance, turn: Turn) -> Instance:
    """The generation that an instance didn't come to run; it runs what it ran before."""
    return replace(
        seen,
        id=f"{seen.id}:r{turn.release}",
        release=turn.release,
        next_release=None,
        state=State.TERMINATED,
        run=Run.STOPPED,
        target=Target.UNUSED,
        port=None,
        started_at=turn.begun_at,
        ended_at=turn.ended_at,
        died=True,
        reason=turn.failed,
    )


def ended(words: LastWords, app: str, release: int) -> Instance:
    """One that told why it never got ready, and is gone."""
    return Instance(
        id=words.instance,
        app=app,
        group=words.group,
        zone="",
        release=release,
        state=State.TERMINATED,
        run=Run.STOPPED,
        created_at=words.at,
        started_at=words.at,
        ended_at=words.at,
        died=True,
        reason="; ".join((words.message, *words.details[:1])),
    )


def not_launched(pool: Pool, refusal: Refusal, pulled: int) -> Instance:
    """One that there never was. `pulled`: the release that it would have run."""
    return Instance(
        id=f"launch-{refusal.id[:8]}",
        app=pool.app,
        group=pool.group,
        zone="",
        release=pulled,
        state=State.TERMINATED,
        run=Run.STOPPED,
        created_at=refusal.at,
        started_at=refusal.at,
        ended_at=refusal.at,
        launched=False,
        reason=refusal.why,
    )


def told(member: Member) -> int | None:
    """The release that it says it runs; None: it hasn't said."""
    number = member.tags.get(RELEASE, "").removeprefix("r")
    return int(number) if number.isdigit() else None


def _run(state: State | None, *, turning: bool) -> Run:
    match state:
        case None:
            return Run.UNKNOWN
        case State.PENDING | State.PENDING_WAIT:
            return Run.STARTING
        case State.TERMINATING | State.TERMINATING_WAIT:
            return Run.STOPPING
        case State.TERMINATED:
            return Run.STOPPED
    return Run.STARTING if turning else Run.RUNNING


def _target(pool: Pool, member: Member) -> tuple[Check, Target]:
    """Only one that the balancer has found well or ill is a target: until then it gets no requests."""
    in_service = STATES.get(member.lifecycle) is State.IN_SERVICE
    if not pool.targets:
        return (Check.HEALTHY if in_service and member.well else Check.INITIAL), Target.UNUSED
    match member.health:
        case "healthy":
            return Check.HEALTHY, Target.READY
        case "unhealthy" | "unhealthy.draining":
            return Check.UNHEALTHY, Target.READY
        case "draining":
            return Check.HEALTHY, Target.DRAINING
        case "initial":
            return Check.INITIAL, Target.UNUSED
    # not registered: its agent said that it is well before it came into service
    return (Check.HEALTHY if in_service else Check.INITIAL), Target.UNUSED


def by_instance(pools: tuple[Pool, ...]) -> Mapping[str, Pool]:
    return {member.id: pool for pool in pools for member in pool.members}
