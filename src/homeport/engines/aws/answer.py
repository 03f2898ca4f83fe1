"""From what AWS says of a pool's members to instances as the deciders know them. Pure. Used by `engine`."""

from collections.abc import Callable, Container, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from homeport.engines.aws.activity import Activity, name_of
from homeport.engines.aws.fleet import NAME, RELEASE, Member, Pool
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
LAST = "Terminating:Proceed"
"""Then its group has EC2 end it."""
DEAD = "its machine stopped, and nobody of Homeport's told it to"


PAST = timedelta(hours=1)
"""So long the group's past counts: as long as ended instances are known elsewhere."""
SILENT = "it left no word why it isn't ready"


def instance(
    pool: Pool, member: Member, kept: Kept, now: datetime, *, pulled: int, stop_at: datetime | None
) -> Instance:
    """`pulled`: the release of one that hasn't told yet what it runs. `stop_at`: when it was told to stop, if that is
    known."""
    state = STATES.get(member.lifecycle)
    turn = kept.turns.get(member.id)
    release = told(member) or pulled
    turning = turn is not None and not turn.failed and not turn.unsent and release != turn.release
    check, target = _target(pool, member)
    created_at = member.launched_at or now
    dead = member.down and member.lifecycle != LAST
    return Instance(
        id=member.id,
        app=pool.app,
        group=pool.group,
        zone=member.zone,
        release=release,
        next_release=turn.release if turn is not None and turning else None,
        unheard=turn.release if turn is not None and turn.unheard and release != turn.release else None,
        state=state or State.PENDING,
        run=Run.STOPPED if member.down else _run(state, turning=turning),
        check=Check.UNKNOWN if state is None else check,
        target=target,
        in_flight=0 if target is Target.UNUSED else None,
        address=member.address,
        name=member.tags.get(NAME, ""),
        public_address=member.public_address,
        port=PORT if pool.targets else None,
        created_at=created_at,
        started_at=begun_at(member, turn, release) or now,
        in_service_at=created_at if state is State.IN_SERVICE else None,
        stop_at=stop_at,
        died=dead,
        reason=DEAD if dead else member.why if member.health not in ("", "healthy", "draining") else "",
    )


def begun_at(member: Member, turn: Turn | None, release: int) -> datetime | None:
    """When what it runs was begun; None: EC2 doesn't show it yet."""
    return turn.begun_at if turn is not None and turn.release == release else member.launched_at


def refused(seen: Instance, turn: Turn) -> Instance:
    """The generation that an instance didn't come to run; it runs what it ran before."""
    return replace(
        seen,
        id=f"{seen.id}:r{turn.release}",
        release=turn.release,
        next_release=None,
        unheard=turn.release if turn.unheard else None,
        state=State.TERMINATED,
        run=Run.STOPPED,
        check=Check.INITIAL,
        target=Target.UNUSED,
        port=None,
        started_at=turn.begun_at,
        ended_at=turn.ended_at,
        died=True,
        reason="; ".join((turn.failed, *(each.strip() for each in turn.lines[:1]))),
    )


def ended(words: LastWords, app: str, release: int, launched_at: datetime | None) -> Instance:
    """One that told why it never got ready, and is gone. `launched_at` None: nobody knows any more."""
    began_at = launched_at or words.at
    return Instance(
        id=words.instance,
        app=app,
        group=words.group,
        zone="",
        release=release,
        state=State.TERMINATED,
        run=Run.STOPPED,
        created_at=began_at,
        started_at=began_at,
        ended_at=words.at,
        died=True,
        reason="; ".join((words.message, *words.details[:1])),
    )


def gone(
    pool: Pool, pulled: Callable[[], tuple[int, datetime] | None], known: Container[str], now: datetime
) -> Iterator[Instance]:
    """What became of the last hour's launches, as the group's activities tell, but for those `known` already: what EC2
    refused since it last launched one, who was given up by the launching hook, and who was in service and is gone.
    `pulled`: asked for the release that new instances get, and since when; of earlier ones it isn't known."""
    asked: list[tuple[int, datetime] | None] = []

    def release_of(launch: Activity) -> int:
        if not asked:
            asked.append(pulled())
        return asked[0][0] if asked[0] is not None and launch.at >= asked[0][1] else 0

    ends = {each.instance: each for each in pool.activities if each.what == "end"}
    launched = False
    for each in pool.activities:
        if now - each.known_at > PAST:
            continue
        if each.refused and not launched:
            yield _past(pool, each, release_of(each), launched=False, reason=each.said or each.description)
        launched = launched or each.went_well
        if not each.instance or each.instance in known:
            continue
        end = ends.get(each.instance)
        if each.abandoned:
            yield _past(pool, each, release_of(each), died=True, reason=f"{SILENT}: {each.said}")
        elif each.went_well and end is not None:
            yield _past(
                pool,
                each,
                release_of(each),
                died=end.of_illness,
                reason=end.cause,
                in_service_at=each.known_at,
                ended_at=max(end.at, each.known_at),
            )


def _past(pool: Pool, launch: Activity, release: int, **said: Any) -> Instance:
    fields = {"created_at": launch.at, "started_at": launch.at, "ended_at": launch.known_at} | said
    return Instance(
        id=name_of(launch),
        app=pool.app,
        group=pool.group,
        zone="",
        release=release,
        state=State.TERMINATED,
        run=Run.STOPPED,
        **fields,
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
        return (Check.HEALTHY if in_service and member.well and not member.down else Check.INITIAL), Target.UNUSED
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
