"""The memory engine whose groups keep themselves whole, as Auto Scaling's do: they launch up to their capacity what
their pointer names, replace what dies or stays ill, and end what is too many. For the contract, and to try `plan.pool`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec.structs import replace

from homeport.engines.memory.behaviour import Behaviour
from homeport.engines.memory.engine import MemoryEngine
from homeport.engines.memory.environment import MemoryEnvironment
from homeport.engines.memory.instance import OfInstance
from homeport.errors import Invalid, NotFound
from homeport.model.action import (
    Action,
    AskHook,
    Drain,
    EnterStandby,
    FailOpen,
    Inherit,
    Kill,
    Launch,
    Prepare,
    PutInService,
    SetCapacity,
    SetShare,
    Start,
    Stop,
    Terminate,
)
from homeport.model.asked import GroupAsked, MaintenanceAsked, Suspendable, ZoneAsked
from homeport.model.fleet import Capacity, Check, Instance, Observation, Run, State, Target
from homeport.model.platform import ZONES
from homeport.model.release import Release
from homeport.ports.clock import Clock

COUNTED = (State.PENDING, State.IN_SERVICE)
ENDING = (State.TERMINATING_WAIT, State.TERMINATED)
DEREGISTERED_AFTER = timedelta(seconds=0.2)
DEAD_SEEN = timedelta(seconds=1)
ILL_FOR = timedelta(seconds=5)
LAUNCH_AGAIN_AFTER = timedelta(seconds=2)
WORD_WITHIN = timedelta(seconds=30)
"""Then one that is ended goes, whether its agent has said so or not."""
Key = tuple[str, str]
"""App and group."""


@dataclass
class Pools:
    """Of one environment. By instance: `turns` (when its next generation was begun), `left` (since when it is ended),
    `failed` (the generation it didn't come to run)."""

    capacity: dict[Key, int] = field(default_factory=dict)
    launch_after: dict[Key, datetime] = field(default_factory=dict)
    turns: dict[str, datetime] = field(default_factory=dict)
    left: dict[str, datetime] = field(default_factory=dict)
    failed: dict[str, Instance] = field(default_factory=dict)
    refusals: list[Instance] = field(default_factory=list)
    number: int = 0


class MemoryPools(MemoryEngine):
    """`pulls`: what a new instance of (app, environment name, group) comes upon in the store."""

    heals = True

    def __init__(
        self,
        clock: Clock,
        releases: Callable[[str, str, int], Release],
        behaviours: Mapping[int, Behaviour] | None = None,
        *,
        pulls: Callable[[str, str, str], int | None],
    ) -> None:
        super().__init__(clock, releases, behaviours)
        self.look_again_seconds = 1.0
        self.pulls = pulls
        self.refuses = ""
        """Fault: why no machine is to be had."""
        self._pools: dict[str, Pools] = {}

    def observe(self, environment: str) -> Observation:
        _, pools = self._healed(environment)
        seen = super().observe(environment)
        return replace(
            seen,
            instances=(*seen.instances, *pools.failed.values(), *pools.refusals),
            last_ordinal={},
            capacity=tuple(Capacity(app=app, group=group, count=n) for (app, group), n in pools.capacity.items()),
        )

    def _observed(self, found: MemoryEnvironment, kept: Instance, now: datetime) -> Instance:
        seen = super()._observed(found, kept, now)
        if seen.run is Run.RUNNING and kept.state is State.TERMINATING_WAIT:
            return replace(seen, run=Run.STOPPING)
        return replace(seen, run=Run.STARTING) if kept.next_release is not None and seen.run is Run.RUNNING else seen

    def forget_app(self, environment: str, app: str) -> None:
        super().forget_app(environment, app)
        pools = self._of(environment)
        pools.failed = {key: each for key, each in pools.failed.items() if each.app != app}
        pools.refusals = [each for each in pools.refusals if each.app != app]

    def next_change_in(self, environment: str) -> float | None:
        moment = super().next_change_in(environment)
        pools = self._of(environment)
        under_way = pools.turns or pools.left or pools.launch_after
        return min(moment or LAUNCH_AGAIN_AFTER.total_seconds(), 0.2) if under_way else moment

    def ask(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        if isinstance(said, ZoneAsked):
            raise Invalid("engine memory can't fail a zone whose groups heal")
        super().ask(environment, said)

    # --- told ---------------------------------------------------------------------------------------------------------

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        if isinstance(action, Launch | Kill | AskHook | FailOpen | SetShare):
            raise Invalid(f"its groups do that by themselves: {type(action).__name__}")
        found, pools = self._healed(environment)
        if isinstance(action, SetCapacity):
            if (action.app, action.group) not in pools.capacity:
                raise NotFound(f"{action.app}/{action.group} isn't in {environment}")
            found.admit(action.app, fence)
            self.actions.append(action)
            pools.capacity[action.app, action.group] = action.count
            self._changed()
        else:
            super().execute(environment, action, fence=fence)
        if isinstance(action, Prepare):
            for group in self.releases(action.app, found.place.name, action.release).resolved.groups:
                pools.capacity.setdefault((action.app, group.name), 0)
        self._healed(environment)

    def _for_instance(self, found: MemoryEnvironment, action: OfInstance, now: datetime) -> None:
        kept, pools = found.instances.get(action.instance), self._of(found.place.id)
        if kept is None:
            raise NotFound(f"instance {action.instance} isn't in {found.place.id}")
        state, key = kept.state, (kept.app, kept.group)
        match action:
            case Start() if state is State.IN_SERVICE and kept.next_release != action.release:
                pools.turns[kept.id] = now
                pools.failed.pop(kept.id, None)
                found.instances[kept.id] = replace(kept, next_release=action.release)
            case Stop() if state is State.TERMINATING_WAIT:
                found.instances[kept.id] = replace(kept, stop_at=kept.stop_at or now)
            case Terminate() if state not in ENDING:
                pools.capacity[key] -= state in COUNTED
                found.instances[kept.id] = self._leaving(pools, kept, now)
            case EnterStandby() | PutInService() if state in (State.IN_SERVICE, State.STANDBY):
                super()._for_instance(found, action, now)
                pools.capacity[key] += (found.instances[kept.id].state in COUNTED) - (state in COUNTED)
            case Drain() if kept.target is Target.READY:
                super()._for_instance(found, action, now)
            case Inherit():
                super()._for_instance(found, action, now)

    # --- what groups do by themselves ---------------------------------------------------------------------------------

    def _of(self, environment: str) -> Pools:
        return self._pools.setdefault(environment, Pools())

    def _healed(self, environment: str) -> tuple[MemoryEnvironment, Pools]:
        found, pools, now = self._find(environment), self._of(environment), self.clock.now()
        for kept in list(found.instances.values()):
            if kept.state is State.TERMINATED or kept.id in self.unknown:
                continue
            fresh = self._stepped(found, pools, kept, now)
            if fresh is not None:
                found.instances[kept.id] = fresh
            else:
                for known in (found.instances, found.started_with, pools.left, pools.turns, pools.failed, self.own):
                    known.pop(kept.id, None)
        for key, count in pools.capacity.items():
            self._fit(found, pools, key, count, now)
        return found, pools

    def _stepped(self, found: MemoryEnvironment, pools: Pools, kept: Instance, now: datetime) -> Instance | None:
        """None: it is gone, and forgotten."""
        seen = self._observed(found, kept, now)
        if kept.state is State.TERMINATING_WAIT:
            known_for = now - pools.left[kept.id]
            gone = known_for >= DEAD_SEEN if kept.died else seen.run is Run.STOPPED
            return None if gone or known_for >= WORD_WITHIN else kept
        if kept.state is State.PENDING:
            return self._booted(found, pools, seen, kept, now)
        if seen.died:
            return replace(self._leaving(pools, kept, now), run=Run.STOPPED, died=True)
        if kept.next_release is not None:
            return self._turned(found, pools, kept, now)
        ill = seen.check is Check.UNHEALTHY and seen.check_since_at is not None and now - seen.check_since_at >= ILL_FOR
        if ill and kept.state is State.IN_SERVICE and kept.target is not Target.DRAINING:
            return self._leaving(pools, kept, now)
        if kept.target is Target.DRAINING and kept.drain_at is not None and now - kept.drain_at >= DEREGISTERED_AFTER:
            return replace(kept, target=Target.UNUSED, drain_at=None)
        return kept

    def _booted(
        self, found: MemoryEnvironment, pools: Pools, seen: Instance, kept: Instance, now: datetime
    ) -> Instance:
        if seen.check is Check.HEALTHY:
            target = Target.UNUSED if kept.port is None else Target.READY
            return replace(kept, state=State.IN_SERVICE, target=target, in_service_at=now)
        if seen.died or now - kept.created_at >= self._grace(found, kept, kept.release):
            pools.launch_after[kept.app, kept.group] = now + LAUNCH_AGAIN_AFTER
            return _failed(kept, now, "it ended by itself" if seen.died else "it isn't healthy")
        return kept

    def _turned(self, found: MemoryEnvironment, pools: Pools, kept: Instance, now: datetime) -> Instance:
        release, begun_at = kept.next_release or 0, pools.turns[kept.id]
        behaviour, age = self.behaviours.get(release, Behaviour()), now - begun_at
        healthy_after, dies_after = behaviour.healthy_after, behaviour.dies_after
        fails = healthy_after is None or (dies_after is not None and dies_after <= healthy_after)
        if not fails and age.total_seconds() >= (healthy_after or 0):
            del pools.turns[kept.id]
            found.started_with[kept.id] = release
            return replace(kept, release=release, next_release=None, started_at=begun_at)
        if age >= self._grace(found, kept, release):
            del pools.turns[kept.id]
            ended = replace(_failed(kept, now, "it isn't healthy"), release=release, started_at=begun_at)
            pools.failed[kept.id] = replace(ended, id=f"{kept.id}:r{release}", port=None)
            return replace(kept, next_release=None)
        return kept

    def _grace(self, found: MemoryEnvironment, kept: Instance, release: int) -> timedelta:
        group = self.releases(kept.app, found.place.name, release).resolved.group(kept.group)
        return group.health.grace if group is not None else timedelta()

    def _leaving(self, pools: Pools, kept: Instance, now: datetime) -> Instance:
        pools.left.setdefault(kept.id, now)
        return replace(kept, state=State.TERMINATING_WAIT, target=Target.UNUSED, next_release=None, drain_at=None)

    def _fit(self, found: MemoryEnvironment, pools: Pools, key: Key, count: int, now: datetime) -> None:
        there = [each for each in found.instances.values() if (each.app, each.group) == key and each.state in COUNTED]
        zones = Counter({zone: sum(1 for each in there if each.zone == zone) for zone in ZONES})
        asked = found.asked_groups.get(key)
        suspended = asked.suspended if asked is not None else ()
        if len(there) < count and Suspendable.LAUNCH not in suspended and now >= pools.launch_after.get(key, now):
            pools.launch_after.pop(key, None)
            for _ in range(count - len(there)):
                zone = min(ZONES, key=lambda each: zones[each])
                zones[zone] += self._launched(found, pools, key, zone, now)
        for _ in range(len(there) - count if Suspendable.TERMINATE not in suspended else 0):
            victim = min(there, key=lambda each: (-zones[each.zone], each.created_at, int(each.id[2:])))
            there.remove(victim)
            zones[victim.zone] -= 1
            found.instances[victim.id] = self._leaving(pools, victim, now)
        if len(there) >= count:
            pools.refusals = [each for each in pools.refusals if (each.app, each.group) != key]

    def _launched(self, found: MemoryEnvironment, pools: Pools, key: Key, zone: str, now: datetime) -> bool:
        app, group = key
        release = self.pulls(app, found.place.name, group)
        if release is None:
            return False
        pools.number += 1
        if self.refuses:
            pools.launch_after[key] = now + LAUNCH_AGAIN_AFTER
            refused = Instance(
                id=f"launch-{pools.number}", app=app, group=group, zone="", release=release, created_at=now
            )
            pools.refusals.append(replace(_failed(refused, now, self.refuses), launched=False, died=False))
            return False
        super()._launch(
            found, Launch(app=app, group=group, instance=f"i-{pools.number}", zone=zone, release=release), now
        )
        return True


def _failed(kept: Instance, now: datetime, why: str) -> Instance:
    return replace(
        kept,
        state=State.TERMINATED,
        run=Run.STOPPED,
        target=Target.UNUSED,
        next_release=None,
        ended_at=now,
        died=True,
        reason=f"r{kept.release}: {why}",
    )
