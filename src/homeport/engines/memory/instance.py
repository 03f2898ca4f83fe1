"""What becomes of an instance of the memory engine by an action. Called by `engine`."""

from datetime import datetime
from typing import assert_never

from msgspec.structs import replace

from homeport.model.action import (
    AskHook,
    Drain,
    EnterStandby,
    Inherit,
    Kill,
    Launch,
    PutInService,
    Start,
    Stop,
    Terminate,
)
from homeport.model.fleet import HookWait, Instance, Run, State, Target
from homeport.plan.member import served

OfInstance = Start | Inherit | AskHook | PutInService | EnterStandby | Drain | Stop | Kill | Terminate
BASE_PORT = 20000


def launched(action: Launch, now: datetime, *, balanced: bool) -> Instance:
    ordinal = int(action.instance.rpartition("-")[2])
    return Instance(
        id=action.instance,
        app=action.app,
        group=action.group,
        zone=action.zone,
        release=action.release,
        run=Run.RUNNING,
        address=f"127.0.0.{ordinal % 250 + 2}",
        port=BASE_PORT + ordinal if balanced else None,
        pid=1000 + ordinal,
        created_at=now,
        started_at=now,
    )


def changed(seen: Instance, action: OfInstance, now: datetime) -> Instance:
    match action:
        case Start():
            return replace(
                seen,
                release=action.release,
                generation=seen.generation + 1,
                state=State.PENDING,
                run=Run.RUNNING,
                next_release=None,
                started_at=now,
                drain_at=None,
                stop_at=None,
                killed=False,
                died=False,
                hook=None,
            )
        case Inherit():
            return replace(seen, release=action.release)
        case AskHook():
            state = State.TERMINATING_WAIT if action.terminating else State.PENDING_WAIT
            asked = HookWait(hook=action.hook, asked_at=now, beat_at=now)
            return seen if seen.state is state else replace(seen, state=state, hook=asked)
        case EnterStandby():
            return replace(seen, state=State.STANDBY, target=Target.UNUSED, drain_at=None)
        case PutInService():
            return replace(
                seen,
                state=State.IN_SERVICE,
                hook=None,
                target=Target.READY if seen.port is not None else Target.UNUSED,
                drain_at=None,
                in_service_at=seen.in_service_at if served(seen) else now,
            )
        case Drain():
            return replace(seen, target=Target.DRAINING, drain_at=seen.drain_at or now)
        case Stop():
            state = State.TERMINATING if action.next_release is None else seen.state
            stop_at = seen.stop_at or now
            return replace(seen, state=state, target=Target.UNUSED, next_release=action.next_release, stop_at=stop_at)
        case Kill():
            return replace(seen, killed=True)
        case Terminate():
            ended_at = seen.ended_at or now
            return replace(
                seen,
                state=State.TERMINATED,
                run=Run.STOPPED,
                target=Target.UNUSED,
                ended_at=ended_at,
                in_flight=None,
            )
        case _:
            assert_never(action)


def killed_with_zone(instance: Instance) -> Instance:
    reason = f"zone {instance.zone} failed"
    return replace(instance, run=Run.STOPPED, died=True, zone_failed=True, reason=reason)
