"""What a life-cycle hook says, also where it says nothing. Pure. Called by `plan.fleet`, `plan.deployment` and the rest
of the fleet's deciders."""

from datetime import datetime

from homeport.model.fleet import HookWait, Instance, State
from homeport.model.platform import HookResult


def until_at(wait: HookWait) -> datetime:
    """How long an answer is waited for, unless another heartbeat comes."""
    return wait.beat_at + wait.hook.heartbeat


def verdict(wait: HookWait, now: datetime) -> HookResult | None:
    """What holds: the answer, or once none came in time, the hook's default. None: it is waited for."""
    if wait.result is not None:
        return wait.result
    return wait.hook.result if now >= until_at(wait) else None


def abandoned(instance: Instance, now: datetime) -> bool:
    """Its launching hook doesn't let it go on."""
    if instance.hook is None or instance.in_service_at is not None or instance.state is State.TERMINATING_WAIT:
        return False
    return verdict(instance.hook, instance.ended_at or now) == "ABANDON"
