"""How a group fares, in words, beyond its numbers: used by `status`."""

from collections.abc import Iterator

from homeport.cli import output
from homeport.console.views import BreakerView, GroupView


def care_in_words(group: GroupView) -> Iterator[str]:
    """One line each; nothing for a group that is well and of which nothing is asked."""
    for each in group.breakers:
        yield _breaker(each, group.name)
    if group.fail_open:
        yield "all targets are unhealthy; they get requests all the same"
    yield from group.notes
    if group.suspended:
        names = ", ".join(group.suspended)
        yield f"suspended: {names}  → homeport fleet resume {group.suspended[0]} {group.name}"
    for name in group.standby:
        yield f"{name} is on standby  → homeport standby exit {name}"
    if group.cycle is not None:
        left = output.plural(group.cycle.left, "instance")
        yield f"cycled, as {group.cycle.by} asked {output.ago(group.cycle.since_at)}: {left} left"


def _breaker(found: BreakerView, group: str) -> str:
    cost = f"{output.plural(found.launches, 'instance')}, {found.spent_hours:g} instance-hours"
    rounds = output.plural(found.failures, "round")
    text = f"breaker of {found.release} {found.phase}: {rounds} of launches failed ({cost}); {found.reason}"
    if found.until_at is not None and found.phase != "half-open":
        text += f"; none before {output.clock_time(found.until_at)}"
    if found.specimen:
        text += f"; {found.specimen} is kept for a look"
    return f"{text}  → homeport breaker reset {group}"
