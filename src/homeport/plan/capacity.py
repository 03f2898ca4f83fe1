"""Whether a machine's memory suffices for what is asked of it. Pure. Called by `control.promise`.

Only groups that state how much memory an instance may take are counted: what the others take nobody can say."""

from collections.abc import Iterable, Sequence

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


def check_release(
    release: str, wanted: Sequence[Promise], others: Sequence[Promise], machine_bytes: int, *, held_bytes: int
) -> None:
    """Nothing where all groups of a release fit, or take no more than the `held_bytes` that the app's did: the way out
    of trouble isn't barred. What runs beside for the time of a deployment isn't counted. Raises `Invalid` with the
    arithmetic."""
    needed = sum(each.total_bytes for each in wanted)
    rest = sum(each.total_bytes for each in others)
    if needed + rest <= machine_bytes or needed <= held_bytes:
        return
    promised = f", and {size_text(rest)} are promised to others" if rest else ""
    raise Invalid(
        f"{release} needs {size_text(needed)} of memory{promised}: {size_text(needed + rest)} of the "
        f"{size_text(machine_bytes)} that this machine has; nothing is deployed",
        details=tuple(f"{each.group}: {_product(each)}" for each in (*wanted, *others) if each.count),
        hint="in homeport.toml, state less `memory` or fewer `instances` for its groups; or scale what is there",
    )


def _product(promise: Promise) -> str:
    return f"{promise.count} × {size_text(promise.memory_bytes)} = {size_text(promise.total_bytes)}"
