"""An object store in memory, with a clock of its own: for simulation, and for tests that try many orders of events."""

import copy
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from homeport.errors import Conflict, NotFound
from homeport.ports.objects import Entry


class MemoryObjects:
    """Implements `ports.objects.ObjectStore`. `before` is called before every access, with what it is."""

    def __init__(self, now: Callable[[], datetime], *, before: Callable[[str], None] = lambda _: None) -> None:
        self.now = now
        self.before = before
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self._keys: list[str] = []
        """Of `objects`, in order."""

    def quiet(self) -> "MemoryObjects":
        """The same objects, and nothing is called before an access."""
        found = copy.copy(self)
        found.before = lambda _: None
        return found

    @property
    def place(self) -> str:
        return "memory"

    def create(self, key: str, data: bytes) -> None:
        self.before("create")
        if key in self.objects:
            raise Conflict(f"{key} exists already")
        self.objects[key] = (data, self.now())
        insort(self._keys, key)

    def create_from(self, key: str, path: Path) -> None:
        self.create(key, path.read_bytes())

    def get(self, key: str) -> bytes:
        self.before("get")
        if key not in self.objects:
            raise NotFound(f"there is no {key}")
        return self.objects[key][0]

    def get_to(self, key: str, path: Path) -> None:
        path.write_bytes(self.get(key))

    def size(self, key: str) -> int | None:
        self.before("size")
        return len(self.objects[key][0]) if key in self.objects else None

    def entries(self, prefix: str) -> Sequence[Entry]:
        """One directory after another: what changes meanwhile is seen in part, as on a disk."""
        found = []
        for directory in sorted({key.rpartition("/")[0] for key in self._below(prefix)} | {prefix}):
            self.before("list")
            for key in self._below(prefix):
                if key.rpartition("/")[0] == directory:
                    data, at = self.objects[key]
                    found.append(Entry(key=key, size_bytes=len(data), modified_at=at))
        return sorted(found, key=lambda each: each.key)

    def _below(self, prefix: str) -> list[str]:
        end = bisect_left(self._keys, prefix + chr(0x10FFFF)) if prefix else len(self._keys)
        return self._keys[bisect_left(self._keys, prefix) : end]

    def delete(self, key: str) -> None:
        self.before("delete")
        if self.objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def list(self, prefix: str, after: str = "") -> list[str]:
        return [each.key for each in self.entries(prefix) if each.key > after]
