"""Which stack needs which: order, levels, cycles. Pure; used by plan, apply, delete and `stack tree`."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from homeport.errors import Invalid

Needs = Mapping[str, Iterable[str]]
"""id → ids that must stand before it."""


def levels(needs: Needs) -> tuple[tuple[str, ...], ...]:
    """Ids by level, each sorted; what is in a level needs only what is in earlier ones. Needs that aren't keys don't
    count. Raises `Invalid` with the path of a cycle."""
    sorter = TopologicalSorter({each: [need for need in wanted if need in needs] for each, wanted in needs.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise Invalid(f"stacks need each other in a circle: {' → '.join(_circle(error.args[1]))}") from error
    found = []
    while sorter:
        ready = tuple(sorted(sorter.get_ready()))
        found.append(ready)
        sorter.done(*ready)
    return tuple(found)


def _circle(path: Sequence[str]) -> list[str]:
    """The circle in the direction of need, from its first id by name, and back to it."""
    ring = list(reversed(path))[:-1]
    start = ring.index(min(ring))
    return [*ring[start:], *ring[:start], ring[start]]


def order(needs: Needs) -> tuple[str, ...]:
    """Ids, each after all that it needs. Raises `Invalid` as `levels`."""
    return tuple(each for level in levels(needs) for each in level)


def below(needs: Needs, roots: Iterable[str]) -> frozenset[str]:
    """The roots with all that they need, near and far."""
    found: set[str] = set()
    queue = list(roots)
    while queue:
        each = queue.pop()
        if each not in found:
            found.add(each)
            queue += [need for need in needs.get(each, ()) if need in needs]
    return frozenset(found)


def reverse(needs: Needs) -> dict[str, tuple[str, ...]]:
    """id → ids that need it, sorted: the graph for deletion."""
    found: dict[str, list[str]] = {each: [] for each in needs}
    for each in sorted(needs):
        for need in set(needs[each]):
            if need in found:
                found[need].append(each)
    return {each: tuple(sorted(consumers)) for each, consumers in found.items()}
