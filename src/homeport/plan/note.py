"""What of a decision is worth an event, and what was seen when it was made. Pure. Called by `control.note`."""

import re

from homeport.model.event import Sight
from homeport.model.fleet import Decision, Instance, Probe

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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
