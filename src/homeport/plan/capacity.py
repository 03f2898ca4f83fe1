"""Whether a machine's memory suffices for what is asked of it. Pure. Called by `control.control`.

Only groups that state how much memory an instance may take are counted: what the others take nobody can say."""

from collections.abc import Iterable

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.quantity import size_text


class Promise(Struct, frozen=True, kw_only=True):
    """`count` instances of a group that may take `memory_bytes` each."""

    group: str
    count: int
    memory_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.count * self.memory_bytes


def check(wanted: Promise, others: Iterable[Promise], machine_bytes: int) -> None:
    """Nothing where all of it fits. Raises `Invalid` with the arithmetic."""
    rest = list(others)
    held = sum(each.total_bytes for each in rest)
    if wanted.total_bytes + held <= machine_bytes:
        return
    most = max(0, machine_bytes - held) // wanted.memory_bytes
    lines = [f"{each.group}: {_product(each)}" for each in (wanted, *rest) if each.count]
    raise Invalid(
        f"{wanted.group}: {_product(wanted)}, and {size_text(held)} are promised to others: "
        f"{size_text(wanted.total_bytes + held)} of the {size_text(machine_bytes)} that this machine has",
        details=tuple(lines) if rest else (),
        hint=f"at most {most} of this size fit; or state less `memory` for the group in homeport.toml",
    )


def _product(promise: Promise) -> str:
    return f"{promise.count} × {size_text(promise.memory_bytes)} = {size_text(promise.total_bytes)}"
