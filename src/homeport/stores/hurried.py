"""A store for a caller that must go on with other things: who didn't answer isn't asked again for a moment.

Wraps a store over the network for the engine's loops, which ask again by themselves: else a store that takes requests
and never answers would keep everything waiting, time and again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from homeport.errors import Unavailable
from homeport.ports.clock import Clock
from homeport.ports.objects import Entry, ObjectStore

T = TypeVar("T")
REST_SECONDS = 8.0


class HurriedObjects:
    """Implements `ports.objects.ObjectStore`. After an `Unavailable` that may pass (one with `retry_after`), every call
    raises the same for `REST_SECONDS`."""

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._failed: tuple[float, Unavailable] | None = None

    @property
    def place(self) -> str:
        return self._store.place

    def create(self, key: str, data: bytes) -> None:
        self._ask(lambda: self._store.create(key, data))

    def create_from(self, key: str, path: Path) -> None:
        self._ask(lambda: self._store.create_from(key, path))

    def get(self, key: str) -> bytes:
        return self._ask(lambda: self._store.get(key))

    def get_to(self, key: str, path: Path) -> None:
        self._ask(lambda: self._store.get_to(key, path))

    def size(self, key: str) -> int | None:
        return self._ask(lambda: self._store.size(key))

    def list(self, prefix: str, after: str = "") -> list[str]:
        return self._ask(lambda: self._store.list(prefix, after))

    def entries(self, prefix: str) -> Sequence[Entry]:
        return self._ask(lambda: self._store.entries(prefix))

    def delete(self, key: str) -> None:
        self._ask(lambda: self._store.delete(key))

    def _ask(self, call: Callable[[], T]) -> T:
        failed = self._failed
        if failed is not None and self._clock.monotonic() < failed[0] + REST_SECONDS:
            error = failed[1]
            raise Unavailable(error.message, hint=error.hint, details=error.details, retry_after=error.retry_after)
        try:
            answer = call()
        except Unavailable as error:
            if error.retry_after is not None:
                self._failed = (self._clock.monotonic(), error)
            raise
        self._failed = None
        return answer
