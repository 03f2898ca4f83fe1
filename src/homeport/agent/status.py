"""What a server runs, and how it is; changes nothing and waits for nobody. Called by `agent.main`."""

from datetime import datetime

from msgspec import Struct

from homeport.agent.generation import Generations
from homeport.agent.health import Seen, look
from homeport.agent.record import Generation, Record


class ProcessView(Struct, frozen=True, kw_only=True):
    name: str
    port: int
    up: bool
    since_at: datetime | None
    exits: int
    last_exit: str


class StatusView(Struct, frozen=True, kw_only=True):
    """`homeport-agent status --json`. `state`: `serving` (healthy), `unhealthy`, `down` (it should run, and doesn't),
    `stopped` (by `stop`), `empty` (nothing was ever good here). `release`: what runs, or ran last; `good`: what last
    was healthy; `trying`, `refused`: what a call that was cut off was about, for the next one to finish."""

    state: str
    app: str | None = None
    environment: str | None = None
    groups: tuple[str, ...] = ()
    release: str | None = None
    url: str | None = None
    good: str | None = None
    trying: str | None = None
    refused: str | None = None
    instance: str
    address: str | None = None
    generation: int | None = None
    pid: int | None = None
    health: str = ""
    processes: tuple[ProcessView, ...] = ()
    logs: str


def status(record: Record, generations: Generations, instance: str) -> StatusView:
    """The present one."""
    generation = record.generation
    living = generations.pid(generation)
    seen = look(generations, generation) if generation is not None else Seen(alive=False)
    bound = generation.bound if generation is not None else record.good
    name = generation.instance if generation is not None else instance
    return StatusView(
        state=_state(record, seen),
        app=bound.release.app if bound else None,
        environment=bound.release.environment if bound else None,
        groups=bound.groups if bound else (),
        release=bound.release.id if bound else None,
        url=bound.url if bound else None,
        good=record.good.release.id if record.good else None,
        trying=record.trying.release.id if record.trying else None,
        refused=record.refused.bound.release.id if record.refused else None,
        instance=name,
        address=reached_at(generation) if generation is not None and living else None,
        generation=generation.number if generation is not None else None,
        pid=living[0] if living else None,
        health=_health(seen),
        processes=tuple(
            ProcessView(
                name=each.name,
                port=generation.ports.get(each.name, 0),
                up=each.up and seen.alive,
                since_at=each.since_at,
                exits=each.exits,
                last_exit=each.last_exit,
            )
            for each in seen.processes
            if generation is not None
        ),
        logs=str(generations.home.logs / name),
    )


def reached_at(generation: Generation) -> str | None:
    """`address:port` of the process that serves; None: none does."""
    members = [each for each in generation.bound.release.resolved.groups if each.name in generation.bound.groups]
    serving = next((each.serving for each in members if each.serving is not None), None)
    if serving is None:
        return None
    host = f"[{generation.address}]" if ":" in generation.address else generation.address
    return f"{host}:{generation.ports[serving]}"


def words(view: StatusView) -> list[str]:
    """The same for people."""
    if view.release is None:
        return [f"{view.state}: nothing was deployed here"]
    said = f"{view.release} of {view.app} for {view.environment}, {', '.join(view.groups)}"
    lines = [f"{view.state}: {said}" + (f", on {view.address}" if view.address else "")]
    for each in view.processes:
        ended = f", ended {each.exits} times, last: {each.last_exit}" if each.exits else ""
        lines.append(f"  {each.name}  {'up' if each.up else 'down'}  port {each.port}{ended}")
    if view.health:
        lines.append(f"  health: {view.health}")
    if view.trying:
        lines.append(f"  {view.trying} was being tried: the same deploy again goes on")
    if view.refused:
        lines.append(f"  {view.refused} was refused: the same deploy again finishes the way back")
    lines.append(f"  logs: {view.logs}/*/current")
    return lines


def _state(record: Record, seen: Seen) -> str:
    if seen.alive:
        return "serving" if seen.well else "unhealthy"
    if record.stopped:
        return "stopped"
    return "empty" if record.good is None else "down"


def _health(seen: Seen) -> str:
    if not seen.alive or not seen.probes:
        return ""
    probe = seen.failing or seen.probes[0]
    answer = f"answered {probe.status}" if probe.status is not None else probe.error or "it connects"
    return f"{probe.asked}: {answer}"
