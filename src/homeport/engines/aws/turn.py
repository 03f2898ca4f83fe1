"""Instances that are told to bring another release in place: by which command, and what became of it. Used by `engine`
and `orders`.

Each turn ends within a bound, whatever Systems Manager does or doesn't say.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from msgspec.structs import replace

from homeport.engines.aws.answer import begun_at, told
from homeport.engines.aws.command import DELIVERY_SECONDS, Commands
from homeport.engines.aws.fleet import Member
from homeport.engines.aws.kept import Kept, Turn
from homeport.errors import HomeportError, NotFound
from homeport.ports.clock import Clock

DEPLOY_SECONDS = 1800
FAILED = "Failed"
DELIVERED_WITHIN = timedelta(seconds=DELIVERY_SECONDS)
SHOWN_WITHIN = DELIVERED_WITHIN + timedelta(minutes=1)
"""Until a command that was sent is to be seen on its instance."""
OVER_WITHIN = timedelta(seconds=DEPLOY_SECONDS) + SHOWN_WITHIN
"""Systems Manager ends a command itself by then; this is for when it doesn't say so."""


Hear = Callable[[str, str], None]
"""Gets an instance, and what it wrote."""


class Turns:
    """Of one environment. `members`: the instances that are there; `change` keeps what is found; `hear`, where
    somebody listens, gets what instances wrote when their turns were over."""

    def __init__(
        self,
        commands: Commands,
        clock: Clock,
        *,
        members: Callable[[], Container[str]],
        change: Callable[[Callable[[Kept], Kept]], Kept],
        hear: Hear | None = None,
    ) -> None:
        self.commands = commands
        self.clock = clock
        self._members = members
        self._change = change
        self._hear = hear

    def followed(self, kept: Kept) -> Kept:
        """With what became of the turns that nobody knew the end of."""
        found: dict[str, Turn] = {}
        going_on = {instance: turn for instance, turn in kept.turns.items() if turn.command}
        for command in {each.command for each in going_on.values()}:
            seen = self._looked_at(command)
            for instance, turn in going_on.items():
                if turn.command == command and (over := self._over(instance, turn, seen)) is not None:
                    found[instance] = over
        if not found:
            return kept
        self._hand_on({instance: kept.turns[instance].command for instance in found})
        return self._change(lambda known: replace(known, turns={**known.turns, **found}))

    def _hand_on(self, commands: Mapping[str, str]) -> None:
        """What instances wrote, to who listens. Nothing depends on it."""
        if self._hear is None:
            return
        with suppress(HomeportError):
            for command in sorted(set(commands.values())):
                for instance, text in self.commands.outputs(command).items():
                    if commands.get(instance) == command:
                        self._hear(instance, text)

    def _looked_at(self, command: str) -> dict[str, bool | None]:
        try:
            return self.commands.looked_at(command)
        except NotFound:
            return {}

    def _over(self, instance: str, turn: Turn, seen: Mapping[str, bool | None]) -> Turn | None:
        """None: it goes on."""
        now = self.clock.now()
        well = seen.get(instance)
        if well:
            return replace(turn, command="", ended_at=now)
        if well is None:
            limit = OVER_WITHIN if instance in seen else SHOWN_WITHIN
            if now - turn.begun_at <= limit:
                return None
            with suppress(HomeportError):  # it mustn't come late; where it can't be cancelled, the instance goes
                self.commands.cancel(turn.command, instance)
            what = "nothing was heard of its end" if instance in seen else "Systems Manager never took the command up"
            why = f"{what} within {limit.total_seconds():g} s"
            return replace(turn, command="", ended_at=now, failed=why, unheard=True)
        result = self.commands.result(turn.command, instance)
        if result.unheard:
            return replace(turn, command="", ended_at=now, failed=result.unheard, unheard=True)
        status = result.status or FAILED
        said = result.errors.strip().splitlines()
        if status != FAILED or not said:
            said.append(f"homeport-agent deploy: {status}")
        first, *lines = said
        return replace(turn, command="", ended_at=now, failed=first.removeprefix("error: "), lines=tuple(lines))

    def keep(self, turns: Mapping[str, Turn]) -> None:
        """Those of instances that are gone are forgotten."""
        there = self._members()

        def turned(kept: Kept) -> Kept:
            return replace(kept, turns={id_: each for id_, each in kept.turns.items() if id_ in there} | dict(turns))

        self._change(turned)

    def inherited(self, members: Sequence[Member], release: int) -> None:
        """They are of this release now, and run since when they did."""
        now = self.clock.now()

        def turned(kept: Kept) -> Kept:
            since_at = {each.id: begun_at(each, kept.turns.get(each.id), told(each) or 0) or now for each in members}
            turns = {id_: Turn(release=release, command="", begun_at=at) for id_, at in since_at.items()}
            return replace(kept, turns={**kept.turns, **turns})

        self._change(turned)

    def unsent(self, instance: str, release: int) -> None:
        """Systems Manager doesn't know it: its agent may be about to come, so it is tried for a while."""

        def tried(kept: Kept) -> Kept:
            return replace(kept, turns={**kept.turns, instance: self._tried(kept.turns.get(instance), release)})

        self._change(tried)

    def _tried(self, before: Turn | None, release: int) -> Turn:
        now = self.clock.now()
        again = before is not None and before.unsent and before.release == release
        turn = before if before is not None and again else Turn(release=release, command="", begun_at=now, unsent=True)
        if now - turn.begun_at <= DELIVERED_WITHIN:
            return turn
        why = f"Systems Manager doesn't know the instance for {DELIVERY_SECONDS} s: its agent doesn't run, or may not"
        return replace(turn, unsent=False, ended_at=now, failed=why, unheard=True)
