"""The groups of an environment as AWS showed them last. Used by `engine`."""

import threading
from collections.abc import Mapping

from homeport.engines.aws import answer
from homeport.engines.aws.fleet import Fleet, Pool
from homeport.errors import NotFound
from homeport.ports.clock import Clock

COUNTS_SECONDS = 0.5
"""For so long a look counts, unless something was changed since."""


class Seen:
    """Safe to share between threads."""

    def __init__(self, fleet: Fleet, environment: str, clock: Clock) -> None:
        self._fleet = fleet
        self._environment = environment
        self._clock = clock
        self._lock = threading.RLock()
        self._pools: tuple[Pool, ...] = ()
        self._at: float | None = None
        """None: what was seen doesn't count any more."""
        self._changes = 0
        self.members: Mapping[str, Pool] = {}
        """By instance, as last seen."""

    def just_now(self) -> tuple[Pool, ...] | None:
        """None: it was too long ago, or something was changed since."""
        with self._lock:
            at, pools = self._at, self._pools
        return pools if at is not None and self._clock.monotonic() - at < COUNTS_SECONDS else None

    def anew(self) -> tuple[Pool, ...]:
        begun, changes = self._clock.monotonic(), self._changes
        pools = self._fleet.look()
        with self._lock:
            # what another thread has changed during the look may not be in it
            self._pools, self.members = pools, answer.by_instance(pools)
            self._at = begun if changes == self._changes else None
        return pools

    def forget(self) -> None:
        """What was seen doesn't count any more."""
        with self._lock:
            self._at, self._changes = None, self._changes + 1

    def pool(self, app: str, group: str) -> Pool:
        """As last seen, however long ago; AWS is asked where it wasn't. Raises `NotFound`."""
        found = _of(self._pools, app, group) or _of(self.anew(), app, group)
        if found is None:
            raise NotFound(f"{app}/{group} has no Auto Scaling group in {self._environment}", hint="homeport up")
        return found


def _of(pools: tuple[Pool, ...], app: str, group: str) -> Pool | None:
    return next((each for each in pools if (each.app, each.group) == (app, group)), None)
