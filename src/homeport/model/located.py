"""Values with the place where they were written. Made by plan.stack's reader; shown by errors and `stack why`."""

from typing import TypeAlias

from msgspec import Struct

Scalar: TypeAlias = "bool | int | float | str | None"


class Mark(Struct, frozen=True):
    """A place in a file: line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Tagged(Struct, frozen=True):
    """`!tag content`, not interpreted."""

    tag: str
    content: "Located"


class Located(Struct, frozen=True):
    """A scalar, list, mapping or tagged value. `text`: a scalar as it was written. `over`: what it was merged over,
    nearest first; those have an empty `over`."""

    value: "Scalar | list[Located] | dict[str, Located] | Tagged"
    at: Mark
    text: str = ""
    over: tuple["Located", ...] = ()
