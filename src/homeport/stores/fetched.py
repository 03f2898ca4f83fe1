"""A store over the network that hands each small object over only once: nothing is ever rewritten, so what was fetched
stays true. Whether an object is there still is asked anew by `size`, `list` and `entries`. Opened by wiring.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from homeport.ports.objects import Entry, ObjectStore

SMALL_BYTES, ALL_BYTES = 65_536, 4_000_000
"""What one object, and all that are held, may take."""


class FetchedObjects:
    """Implements `ports.objects.ObjectStore`. `again`: under this prefix a key may come back with something else, once
    what it named was deleted; nothing of it is held."""

    def __init__(self, store: ObjectStore, *, again: str) -> None:
        self._store = store
        self._again = again
        self._lock = threading.Lock()
        self._held: dict[str, bytes] = {}
        self._bytes = 0

    @property
    def place(self) -> str:
        return self._store.place

    def create(self, key: str, data: bytes) -> None:
        self._store.create(key, data)
        self._hold(key, data)

    def create_from(self, key: str, path: Path) -> None:
        self._store.create_from(key, path)

    def get(self, key: str) -> bytes:
        with self._lock:
            held = self._held.get(key)
        if held is None:
            held = self._store.get(key)
            self._hold(key, held)
        return held

    def get_to(self, key: str, path: Path) -> None:
        self._store.get_to(key, path)

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def list(self, prefix: str, after: str = "") -> list[str]:
        return self._store.list(prefix, after)

    def entries(self, prefix: str) -> Sequence[Entry]:
        return self._store.entries(prefix)

    def delete(self, key: str) -> None:
        with self._lock:
            self._bytes -= len(self._held.pop(key, b""))
        self._store.delete(key)

    def _hold(self, key: str, data: bytes) -> None:
        """The oldest go first."""
        if len(data) > SMALL_BYTES or key.startswith(self._again):
            return
        with self._lock:
            self._bytes += len(data) - len(self._held.pop(key, b""))
            self._held[key] = data
            while self._bytes > ALL_BYTES:
                self._bytes -= len(self._held.pop(next(iter(self._held))))
