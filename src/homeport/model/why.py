"""The answer to `homeport why`: a tree of causes, each with the rule that fired and what was seen."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

WhyKind = Literal["instance", "group", "deployment", "session"]


class Cause(Struct, frozen=True, kw_only=True):
    """Something that happened, or holds. `at` None: it holds now. `seen`: what was observed when the rule fired, in
    words, a line each. `lines`: what a program wrote. `because`: what it came from, the nearest first."""

    what: str
    at: datetime | None = None
    rule: str = ""
    observed_at: datetime | None = None
    seen: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    because: tuple["Cause", ...] = ()


class Why(Struct, frozen=True, kw_only=True):
    """`summary`: what it is and how it fares. `causes`: in order of time. `unknown`: what can't be told, and why."""

    kind: WhyKind
    subject: str
    app: str
    environment: str
    summary: str
    causes: tuple[Cause, ...]
    unknown: tuple[str, ...] = ()


class Console(Struct, frozen=True, kw_only=True):
    """What was written by an instance or a task: the first lines, the last ones, and how many lie between them."""

    first: tuple[str, ...] = ()
    left_out: int = 0
    last: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        between = (f"… {self.left_out} more lines …",) if self.left_out else ()
        return (*self.first, *between, *self.last)
