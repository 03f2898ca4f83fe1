"""What processes wrote, asked of their instances by Run Command. Used by `engine`.

"StandardOutputContent: The first 24,000 characters" (Systems Manager API): the agent says the newest that fit.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from homeport.engines.aws.command import AT_ONCE, Commands
from homeport.errors import Unavailable
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine, LogQuery
from homeport.system.clock import pause

BYTES = 23_000
PATIENCE_SECONDS, AGAIN_SECONDS = 60.0, 0.3


def read(commands: Commands, clock: Clock, instances: Sequence[str], query: LogQuery) -> list[LogLine]:
    """Of all these instances, by time. One that doesn't answer is left out where others do. Raises `Unavailable` where
    none does."""
    sent = {
        each: commands.send(instances[first : first + AT_ONCE], _argv(query), seconds=60, why="logs")
        for first in range(0, len(instances), AT_ONCE)
        for each in [tuple(instances[first : first + AT_ONCE])]
    }
    waiting = {instance: command for chosen, command in sent.items() for instance in chosen}
    lines, silent = _gathered(commands, clock, waiting)
    if silent and not lines and len(silent) == len(instances):
        raise Unavailable(f"no instance tells its logs: {silent[0]}")
    lines.sort(key=lambda each: each.at)
    return lines if query.last is None else lines[-query.last :]


def _gathered(commands: Commands, clock: Clock, waiting: Mapping[str, str]) -> tuple[list[LogLine], list[str]]:
    left, lines, silent = dict(waiting), [], []
    until = clock.monotonic() + PATIENCE_SECONDS
    while left and clock.monotonic() < until:
        for instance, command in list(left.items()):
            result = commands.result(command, instance)
            if not result.ended:
                continue
            del left[instance]
            if result.ok:
                lines += list(_lines(result.output, instance))
            else:
                silent.append(f"{instance}: {result.status}: {result.errors.strip()[:200]}")
        if left:
            pause(AGAIN_SECONDS)
    return lines, [*silent, *(f"{each}: no answer" for each in left)]


def _lines(output: str, instance: str) -> Iterator[LogLine]:
    for text in output.splitlines():
        try:
            yield msgspec.structs.replace(msgspec.json.decode(text, type=LogLine), instance=instance)
        except msgspec.DecodeError:
            continue  # cut off in the middle


def _argv(query: LogQuery) -> tuple[str, ...]:
    argv = ["homeport-agent", "logs", "--json", "--bytes", str(BYTES), "--last", str(query.last or 5000)]
    argv += ["--since", query.since_at.isoformat()] if query.since_at is not None else []
    argv += ["--process", query.process] if query.process else []
    argv += ["--grep", query.pattern] if query.pattern else []
    return tuple(argv)
