"""What `homeport doctor` found of one thing. Made by engines and `plan.aws_doctor`, shown by the command line."""

from msgspec import Struct


class Check(Struct, frozen=True, kw_only=True):
    """`needed` False: advice; Homeport works without. `mend`: the command, empty where none does it."""

    name: str
    ok: bool
    found: str
    expected: str
    mend: str = ""
    needed: bool = True
