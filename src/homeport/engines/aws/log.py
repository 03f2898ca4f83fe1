"""What processes wrote: asked of their instances by Run Command, or left in the store by those that are gone. Used by
`engine`.

"StandardOutputContent: The first 24,000 characters" (Systems Manager API): the agent says the newest that fit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from homeport.engines.aws import answer
from homeport.engines.aws.command import Commands
from homeport.engines.aws.fleet import Fleet
from homeport.engines.aws.kept import Kept
from homeport.engines.aws.left import Left, parsed
from homeport.engines.aws.one_off import OneOffs
from homeport.errors import NotFound, Unavailable
from homeport.model.fleet import State
from homeport.ports.clock import Clock
from homeport.ports.engine import LogLine, LogQuery
from homeport.system.clock import pause

FOLLOW_SECONDS = 2.0
BYTES = 23_000
PATIENCE_SECONDS, AGAIN_SECONDS = 60.0, 0.3


class Logs:
    """Of one environment."""

    def __init__(self, fleet: Fleet, *, commands: Commands, clock: Clock, left: Left, one_offs: OneOffs) -> None:
        self._fleet = fleet
        self._commands = commands
        self._clock = clock
        self._left = left
        self._one_offs = one_offs

    def lines(self, kept: Kept, query: LogQuery, *, follow: bool) -> Iterator[LogLine]:
        """By time; of what is gone, or never came to run, what it left."""
        chosen = self._chosen(query)
        told = self._told(kept, query, follow=follow) if query.instance and not chosen else None
        if told is not None:
            yield from told
            return
        while True:
            lines = self._asked(chosen, query) if chosen else []
            yield from lines
            if not follow:
                return
            if lines:
                query = replace(query, since_at=lines[-1].at + timedelta(microseconds=1), last=None)
            pause(FOLLOW_SECONDS)
            chosen = self._chosen(query)

    def _chosen(self, query: LogQuery) -> list[str]:
        """The instances that can be asked."""
        return [
            member.id
            for pool in self._fleet.look()
            for member in pool.members
            if query.instance in ("", member.id)
            and query.group in ("", pool.group)
            and query.app in ("", pool.app)
            and answer.STATES.get(member.lifecycle) is State.IN_SERVICE
        ]

    def _told(self, kept: Kept, query: LogQuery, *, follow: bool) -> Iterable[LogLine] | None:
        """What lies in the store of what one wrote, else what EC2 keeps of its machine's console; None: it is none."""
        found = self._left.lines(kept, query) or self._one_offs.log(kept, query.instance, follow=follow)
        return self._console(query.instance) if found is None and query.instance.startswith("i-") else found

    def _console(self, instance: str) -> Iterator[LogLine]:
        with suppress(NotFound):  # EC2 has forgotten it
            for text in self._one_offs.console(instance):
                yield LogLine(at=self._clock.now(), instance=instance, process="console", text=text)

    def _asked(self, instances: Sequence[str], query: LogQuery) -> list[LogLine]:
        """One that doesn't answer is left out where others do. Raises `Unavailable` where none does."""
        waiting, unknown = self._commands.reach(instances, _argv(query), seconds=60, why="logs")
        lines, silent = _gathered(self._commands, self._clock, waiting)
        silent += [f"{each}: Systems Manager doesn't know it" for each in unknown]
        if silent and not lines and len(silent) == len(instances):
            raise Unavailable(f"no instance tells its logs: {silent[0]}")
        lines.sort(key=lambda each: each.at)
        return lines if query.last is None else lines[-query.last :]


def _gathered(commands: Commands, clock: Clock, waiting: Mapping[str, str]) -> tuple[list[LogLine], list[str]]:
    left, silent = dict(waiting), list[str]()
    lines: list[LogLine] = []
    until = clock.monotonic() + PATIENCE_SECONDS
    while left and clock.monotonic() < until:
        for instance in sorted(_ended(commands, left)):
            result = commands.result(left.pop(instance), instance)
            if result.ok:
                lines += parsed(result.output, instance)
            else:
                silent.append(f"{instance}: {result.status}: {result.errors.strip()[:200]}")
        if left:
            pause(AGAIN_SECONDS)
    return lines, [*silent, *(f"{each}: no answer" for each in left)]


def _ended(commands: Commands, waiting: Mapping[str, str]) -> set[str]:
    """One call for fifty of them."""
    seen = [commands.looked_at(command) for command in set(waiting.values())]
    ended = {instance for each in seen for instance, well in each.items() if well is not None}
    return ended & waiting.keys()


def _argv(query: LogQuery) -> tuple[str, ...]:
    argv = ["homeport-agent", "logs", "--json", "--bytes", str(BYTES), "--last", str(query.last or 5000)]
    argv += ["--since", query.since_at.isoformat()] if query.since_at is not None else []
    argv += ["--process", query.process] if query.process else []
    argv += ["--grep", query.pattern] if query.pattern else []
    return tuple(argv)
