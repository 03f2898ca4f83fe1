"""What of a decision is worth an event, and what was seen when it was made. Pure. Called by `control.note`."""

import re

from homeport.model.action import Decision
from homeport.model.event import Sight
from homeport.model.fleet import Instance, Probe, Run

NEWS = frozenset(
    {
        "dead, and left so",
        "kept for a look",
        "lost",
        "sick",
        "still needed",
        "Terminate is suspended",
        "unknown",
    }
)
"""Rules by which nothing is done to an instance, and yet something has happened to it."""
_WORSE = frozenset({"sick", "unknown"})
_BODY_CHARACTERS = 120


def kind_of(decision: Decision, group: str, before: str) -> str:
    """The event's kind; empty: nothing has happened. `before`: the rule that fired for the subject at the tick before,
    which was another one or had no action either."""
    if decision.action is not None:
        return snake(type(decision.action).__name__)
    if decision.rule == before:
        return ""
    if decision.subject == group or decision.rule in NEWS:
        needed = decision.rule != "still needed" or decision.cause
        return _words(decision.rule) if needed else ""
    return "well_again" if decision.rule == "in service" and before in _WORSE else ""


def ends(before: Instance, now: Instance) -> list[tuple[str, str]]:
    """(kind, message) of what has ended in an instance without anybody having asked, while the instance lives on."""
    if before.generation != now.generation or now.run is not Run.RUNNING:
        return []
    known = {each.name: each.exits for each in before.processes}
    found = []
    for each in now.processes:
        if each.exits > known.get(each.name, each.exits):
            again = f", {_times(each.exits)} by now" if each.exits > 1 else ""
            message = f"{each.name} ended with {each.last_exit}{again}; its supervisor starts it again"
            found.append(("process_ended", message))
    if now.oom_kills > before.oom_kills and not any(each.out_of_memory for each in now.processes):
        message = f"the kernel killed {_processes(now.oom_kills)} in it for want of memory since it began"
        found.append(("out_of_memory", message))
    return found


def sight(instance: Instance, probe: Probe | None) -> Sight:
    """`probe`: the last one known."""
    asked = instance.probe or probe
    return Sight(
        state=instance.state.value,
        run=instance.run.value,
        check=instance.check.value,
        check_since_at=instance.check_since_at,
        target=instance.target.value,
        zone=instance.zone,
        died=instance.died,
        oom_kills=instance.oom_kills,
        disk_full=instance.disk_full,
        in_flight=instance.in_flight,
        exits=tuple(
            f"{each.name} ended {_times(each.exits)}: {each.last_exit}" for each in instance.processes if each.exits
        ),
        asked="" if asked is None else asked.asked,
        answered="" if asked is None else answer(asked),
        answered_at=None if asked is None else asked.at,
    )


def answer(probe: Probe) -> str:
    """One line, such as `503 no database`."""
    if probe.status is None:
        return "a connection" if probe.ok else probe.error or "no answer"
    return f"{probe.status} {' '.join(probe.body.split())[:_BODY_CHARACTERS]}".strip()


def snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _words(rule: str) -> str:
    return "_".join(re.findall(r"[a-z]+", rule.lower()))


def _processes(count: int) -> str:
    return "a process" if count == 1 else f"{count} processes"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
