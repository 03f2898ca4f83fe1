"""Whether a generation works: asked as the balancer would ask it, and if not, why. Called by `agent.deployment` and
`agent.status`."""

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from homeport.agent.generation import Generations, groups
from homeport.agent.record import Generation, Refusal
from homeport.instance import log
from homeport.instance.probe import AGAIN_SECONDS, QUICK_SECONDS, Target, ask
from homeport.model.fleet import Probe, Process
from homeport.model.platform import Group
from homeport.plan.diagnosis import Patient, explain
from homeport.plan.illness import LOOPING_EXITS
from homeport.plan.route import first_host
from homeport.ports.engine import LogQuery
from homeport.system.clock import pause
from homeport.system.sockets import listening

LOG_LINES = 12
"""With what is said before them, they are within the last 20 lines, which a verdict has."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Seen(Struct, frozen=True, kw_only=True):
    """`alive`: its process tree is there. `probes`: of the groups that serve. `well`: all is as it should be."""

    alive: bool
    well: bool = False
    processes: tuple[Process, ...] = ()
    probes: tuple[Probe, ...] = ()

    @property
    def failing(self) -> Probe | None:
        return next((each for each in self.probes if not each.ok), None)


def look(generations: Generations, generation: Generation) -> Seen:
    """The generation as it is now, each group that serves asked once."""
    if generations.pid(generation) is None:
        return Seen(alive=False, processes=generations.processes(generation))
    processes = generations.processes(generation)
    members = groups(generation.bound)
    probes = tuple(
        asyncio.run(ask(_target(generation, each, each.serving), generations.clock))
        for each in members
        if each.serving is not None
    )
    settled = all(_settled(generations, each, processes) for each in members if each.serving is None)
    up = {each.name for each in processes if each.up} == set(generation.ports)
    return Seen(alive=True, well=up and settled and all(each.ok for each in probes), processes=processes, probes=probes)


def wait(generations: Generations, generation: Generation, *, patient: bool = True) -> Refusal | None:
    """None: it is healthy. Else why it isn't: its grace time has passed, or it has ended, or, unless `patient`, one of
    its processes keeps ending."""
    clock = generations.clock
    grace = max(each.health.grace for each in groups(generation.bound))
    until = clock.monotonic() + grace.total_seconds()
    while True:
        seen = look(generations, generation)
        if seen.well:
            return None
        if not seen.alive:
            return _refusal(generations, generation, seen, f"has ended: {generations.why_dead(generation)}")
        looping = next((each for each in seen.processes if each.exits >= LOOPING_EXITS), None)
        if looping is not None and not patient:
            return _refusal(generations, generation, seen, f"isn't healthy: {looping.name} keeps ending")
        if clock.monotonic() >= until:
            return _refusal(generations, generation, seen, f"isn't healthy after {grace.total_seconds():g} s")
        failing = seen.failing
        pause(QUICK_SECONDS if failing is None or failing.status is None else AGAIN_SECONDS)


def asked_at(generation: Generation) -> str:
    """Where somebody on this machine reaches it."""
    return _ANYWHERE.get(generation.address, generation.address)


def _target(generation: Generation, group: Group, process: str) -> Target:
    resolved = generation.bound.release.resolved
    port = generation.ports[process]
    return Target(
        address=asked_at(generation),
        port=port,
        health=group.health,
        host=first_host(resolved, f"{asked_at(generation)}:{port}"),
        proto="https" if resolved.place.tls else "http",
    )


def _settled(generations: Generations, group: Group, processes: Iterable[Process]) -> bool:
    """Without a port: everything has stayed up for the settling time."""
    since = [each.since_at for each in processes if each.name in group.run and each.up]
    now = generations.clock.now()
    return len(since) == len(group.run) and all(
        each is not None and now - each >= group.health.settle for each in since
    )


def _refusal(generations: Generations, generation: Generation, seen: Seen, what: str) -> Refusal:
    """With the generation's own last words."""
    ended = [each for each in seen.processes if each.exits]
    lines = [f"{each.name}: ended {_times(each.exits)}, last: {each.last_exit}" for each in ended]
    logs = generations.logs(generation)
    hint = f"look at {logs}/*/current"
    if seen.failing is not None:
        patient = Patient(
            address=asked_at(generation),
            port=next(iter(generation.ports.values())),
            environment=generation.bound.release.environment,
            proto="https" if generation.bound.release.resolved.place.tls else "http",
            logs=f"{logs}/*/current",
            ended="; ".join(f"{each.name} ends: {each.last_exit}" for each in ended),
        )
        living = generations.pid(generation)
        said, advice = explain(seen.failing, listening(living[0]) if living is not None else (), patient)
        lines += said
        hint = advice or hint
    query = LogQuery(instance=generation.instance, since_at=generation.begun_at, last=LOG_LINES)
    words = [f"  {each.process}: {each.text}" for each in log.read(generations.home.logs, query)]
    lines += ["last lines:", *words] if words else []
    return Refusal(bound=generation.bound, reason=f"{generation.bound.name} {what}", details=tuple(lines), hint=hint)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
