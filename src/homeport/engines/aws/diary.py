"""What has happened in an environment, in the object store: the newest of it. Used by `engine`.

_environments/<platform>/<environment>/events/<n>   what one writer had to say at once; `n` is the number of the first
"""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from homeport.errors import Conflict, NotFound
from homeport.model.event import Event
from homeport.ports.clock import Clock
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect

KEPT_OBJECTS = 500
KNOWN_SECONDS = 30.0
"""For so long whoever wrote last trusts in knowing where the diary ends: not for as long as others take to clear what
they have written away again."""
AT_ONCE = 16
"""Objects fetched side by side."""


class Diary:
    """Of one environment. Whoever writes takes the number behind the last, so that of two at once one is refused, and
    looks again."""

    def __init__(self, store: ObjectStore, environment: str, clock: Clock) -> None:
        self._store = store
        self._prefix = f"_environments/{environment}/events/"
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: list[str] = []
        self._next = 1
        self._known_at: float | None = None
        self._fetched: dict[str, tuple[Event, ...]] = {}
        """Nothing is ever rewritten: each is fetched once."""

    def record(self, events: Sequence[Event]) -> None:
        """One object for all of them."""
        with self._lock:
            now = self._clock.monotonic()
            if self._known_at is None or now - self._known_at > KNOWN_SECONDS:
                self._look()
            self._known_at = now
            while True:
                numbered = [replace(each, number=number) for number, each in enumerate(events, self._next)]
                key = f"{self._prefix}{self._next:08d}"
                try:
                    _write(self._store, key, msgspec.json.encode(numbered))
                    break
                except Conflict:
                    self._look()
            self._keys.append(key)
            self._next += len(events)
            while len(self._keys) > KEPT_OBJECTS:
                _remove(self._store, self._keys.pop(0))

    def events(self, after: int, limit: int) -> list[Event]:
        """Those with a number above `after`, oldest first."""
        with self._lock:
            keys = self._store.list(self._prefix)
            begins = [int(each.rpartition("/")[2]) for each in keys]
            first = max((at for at, number in enumerate(begins) if number <= after + 1), default=0)
            chosen = keys[first : first + limit + 1]  # no object is empty; of the first one none may be meant
            self._fetch([each for each in chosen if each not in self._fetched])
            found = (event for key in chosen for event in self._fetched.get(key, ()))
            return [each for each in found if each.number > after][:limit]

    def forget(self) -> None:
        """Nothing is left of it."""
        with self._lock:
            for key in self._store.list(self._prefix):
                _remove(self._store, key)
            self._known_at = None
            self._fetched.clear()

    def _look(self) -> None:
        """Where it ends."""
        self._keys = self._store.list(self._prefix)
        last = self._get(self._keys[-1]) if self._keys else ()
        self._next = last[-1].number + 1 if last else 1

    def _fetch(self, keys: Sequence[str]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self._fetched |= zip(keys, pool.map(self._get, keys), strict=True)

    def _get(self, key: str) -> tuple[Event, ...]:
        """Empty: it was cleared away."""
        try:
            return msgspec.json.decode(self._store.get(key), type=tuple[Event, ...])
        except NotFound:
            return ()


@effect("aws.write_diary")
def _write(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)


@effect("aws.clear_diary")
def _remove(store: ObjectStore, key: str) -> None:
    store.delete(key)
