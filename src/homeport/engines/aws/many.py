"""Many instances told by one call. Used by `command` and `orders`."""

from collections.abc import Callable, Iterator, Sequence

from homeport.errors import NotFound

AT_ONCE = 50
"""Instances of one call: "InstanceIds … Maximum number of 50 items" (Systems Manager API, SendCommand)."""


def refused(
    instances: Sequence[str], tell: Callable[[Sequence[str]], None], *, at_once: int = AT_ONCE
) -> Iterator[tuple[str, NotFound]]:
    """All are told as this is gone through; those come out that AWS doesn't know (yet, or any more). One of these has a
    whole call refused: then each of its instances is told alone. Raises what else `tell` raises."""
    ahead = [instances[first : first + at_once] for first in range(0, len(instances), at_once)]
    while ahead:
        chosen = ahead.pop(0)
        try:
            tell(chosen)
        except NotFound as error:
            if len(chosen) == 1:
                yield chosen[0], error
            else:
                ahead = [*((each,) for each in chosen), *ahead]
