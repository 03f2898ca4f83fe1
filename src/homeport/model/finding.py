"""What `stack check` finds. Made by stacks.check, written by plan.stack.sarif."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Finding(Struct, frozen=True, kw_only=True, order=True):
    """`line` and `column` count from 1; 0: unknown. `stack` empty: it concerns the project."""

    stack: str
    file: str = ""
    line: int = 0
    column: int = 0
    level: Level = Level.ERROR
    rule: str
    message: str
