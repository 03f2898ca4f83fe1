"""What an environment's groups on AWS cost by the hour, as lines for people. Pure. Called by the command line, before
it asks whether to make them.
"""

from collections.abc import Iterator, Mapping, Sequence

from homeport.model.platform import Group, Resolved
from homeport.plan.desired import size

Sizes = Mapping[str, Mapping[str, int]]
"""App → group → what `homeport scale` asked for."""


def count(apps: Sequence[Resolved], sizes: Sizes) -> int:
    """Of instances, as they are wanted now."""
    return sum(_size(app, group, sizes) for app in apps for group in app.groups)


def lines(apps: Sequence[Resolved], sizes: Sizes, kind: str, price: float | None, unit: str) -> Iterator[str]:
    """One for each group. `price`: of an instance by the hour, None: nobody says it; `unit` follows an amount."""
    for app in apps:
        for group in app.groups:
            wanted, bounds = _size(app, group, sizes), group.instances
            scaled = f" as scaled, {bounds.desired} in the file," if wanted != bounds.desired else ","
            costs = ""
            if price is not None:
                now, least, most = (f"{price * each:.4g}" for each in (wanted, bounds.min, bounds.max))
                costs = f"; an hour costs {now}{unit}, {least} to {most}"
            yield f"{app.app}/{group.name}: {wanted} × {kind}{scaled} {bounds.min} to {bounds.max}{costs}"


def _size(app: Resolved, group: Group, sizes: Sizes) -> int:
    return size(group, sizes.get(app.app, {}))
