"""How a group that changes in place is moved: how many at a time, and how many serve at least. Pure.

Called by `plan.desired` when a deployment begins: the numbers are fixed in its journal."""

from collections.abc import Mapping, Sequence

from homeport.model.platform import Amount


def amount(said: Amount, of: int, *, up: bool) -> int:
    """A number as it is, a share of `of` in whole instances; `up`: rounded up, else down."""
    if isinstance(said, int):
        return said
    percent = int(said.removesuffix("%"))
    return -(-percent * of // 100) if up else percent * of // 100


def unavailable(said: Amount, count: int, surge: int) -> int:
    """How many of `count` may be away at once. A share is rounded down, so that the rest, which serves, is rounded up;
    but where nobody comes first, one at least, or nothing would ever move."""
    return min(count, max(amount(said, count, up=False), 0 if surge else 1))


def batches(old: int, new: int, *, away: int, surge: int, moved: int = 0) -> tuple[int, ...]:
    """After each batch: how many run the new release; `moved` do already. `surge` of each batch come beside, `away` are
    taken from the old ones; what no old one can become is launched with the last batch."""
    step = away + surge
    return (*range(moved + step, min(old + surge, new), step), new)


def zone_batches(population: Mapping[str, int], zones: Sequence[str], new: int) -> tuple[tuple[int, ...], int]:
    """The same, one zone after the other, and how many the fullest of them has."""
    sizes = [population[zone] for zone in zones if population.get(zone)]
    sums = [min(sum(sizes[: end + 1]), new) for end in range(len(sizes))]
    return (*sums[:-1], new), max(sizes, default=0)
