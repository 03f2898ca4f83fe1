"""What AWS showed counts for a moment, unless something was changed since."""

from collections.abc import Callable

from homeport.engines.aws.fleet import Fleet, Pool
from homeport.engines.aws.seen import COUNTS_SECONDS, Seen
from homeport.engines.memory.clock import VirtualClock
from homeport.model.platform import Place

PLACE = Place(platform="shop", name="production", engine="aws")


class Groups(Fleet):
    """One group; `meanwhile` happens while it is looked at."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def look(self) -> tuple[Pool, ...]:
        self.meanwhile()
        return (Pool(name="web", app="shop", group="web", capacity=1, targets=(), members=()),)


def test_a_look_counts_until_something_is_changed_also_while_it_is_had() -> None:
    groups, clock = Groups(), VirtualClock()
    seen = Seen(groups, PLACE.id, clock)
    assert seen.just_now() is None
    found = seen.anew()
    assert seen.just_now() == found
    clock.advance(COUNTS_SECONDS)
    assert seen.just_now() is None
    seen.anew()
    seen.forget()
    assert seen.just_now() is None
    groups.meanwhile = seen.forget
    assert seen.anew() == found
    assert seen.just_now() is None, "another thread's change may not be in it"
    assert seen.pool("shop", "web") == found[0]
