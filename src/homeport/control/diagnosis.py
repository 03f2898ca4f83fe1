"""Completes a verdict's evidence with what people need: exit, health response explained, last log lines.

Used by `control.deployment` before the entry is journalled."""

from collections.abc import Mapping

from msgspec.structs import replace

from homeport.errors import HomeportError
from homeport.model.deployment import Ended, Entry, Evidence, Reverting
from homeport.model.fleet import Instance, Observation
from homeport.model.platform import Place, ProcessType, Resolved
from homeport.plan.diagnosis import Patient, explain
from homeport.plan.quantity import size_text
from homeport.ports.engine import Engine, LogQuery

LOG_LINES = 20


def complete(
    entry: Entry,
    engine: Engine,
    place: Place,
    observed: Observation,
    blames: str,
    resolved: Mapping[int, Resolved],
) -> Entry:
    """The entry, its evidence enriched by the blamed instance's own last words; any other entry as it is."""
    instance = next((each for each in observed.instances if each.id == blames), None)
    if instance is None or not isinstance(entry, Reverting | Ended):
        return entry
    evidence = _words(entry.evidence, engine, place, instance, resolved)
    return replace(entry, evidence=evidence)


def _words(
    evidence: Evidence, engine: Engine, place: Place, instance: Instance, resolved: Mapping[int, Resolved]
) -> Evidence:
    ended = [each for each in instance.processes if each.exits]
    lines: list[str] = [f"{each.name}: ended {_times(each.exits)}, last: {each.last_exit}" for each in ended]
    logs = f"homeport logs -e {place.name} --instance {instance.id}"
    hint = ""
    known = resolved.get(instance.release)
    types = known.types if known else {}
    for each in instance.processes:
        earlier = types.get(each.name, ProcessType()).after
        if each.since_at is None and not each.up and earlier:
            lines.append(f"{each.name}: hasn't begun; it comes after {', '.join(earlier)}")
    group = known.group(instance.group) if known else None
    if instance.port is not None and group is not None and group.balanced:
        patient = Patient(
            address=instance.address,
            port=instance.port,
            environment=place.name,
            proto="https" if place.tls else "http",
            logs=logs,
            ended="; ".join(f"{each.name} ends: {each.last_exit}" for each in ended),
        )
        said, hint = explain(instance.probe, _listening(engine, place, instance), patient)
        lines += said
    if instance.oom_kills > instance.oom_kills_well or any(each.out_of_memory for each in instance.processes):
        memory = group.memory_bytes if group else None
        now = f", now {size_text(memory)}" if memory is not None else ""
        lines.append(f"out of memory: the kernel killed {instance.oom_kills} of its processes")
        hint = f"[groups.{instance.group}] memory in homeport.toml{now}: give it more, or have it need less"
    log = _log(engine, place, instance)
    lines += [f"last lines of {instance.id}:", *(f"  {each}" for each in log)] if log else []
    return replace(evidence, lines=(*evidence.lines, *lines), hint=evidence.hint or hint or logs)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _listening(engine: Engine, place: Place, instance: Instance) -> tuple[str, ...]:
    try:
        return engine.listening(place.id, instance.id)
    except HomeportError:
        return ()


def _log(engine: Engine, place: Place, instance: Instance) -> list[str]:
    try:
        query = LogQuery(instance=instance.id, last=LOG_LINES)
        return [f"{line.process}: {line.text}" for line in engine.logs(place.id, query)]
    except HomeportError:
        return []
