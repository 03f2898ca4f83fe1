"""An object store in memory, with a clock of its own: for simulation, and for tests that try many orders of events."""

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

    @property
    def place(self) -> str:
        return "memory"

    def create(self, key: str, data: bytes) -> None:
        self.before("create")
        if key in self.objects:
            raise Conflict(f"{key} exists already")
        self.objects[key] = (data, self.now())

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
        for directory in sorted({key.rpartition("/")[0] for key in self.objects if key.startswith(prefix)} | {prefix}):
            self.before("list")
            found += [
                Entry(key=key, size_bytes=len(data), modified_at=at)
                for key, (data, at) in self.objects.items()
                if key.startswith(prefix) and key.rpartition("/")[0] == directory
            ]
        return sorted(found, key=lambda each: each.key)

    def delete(self, key: str) -> None:
        self.before("delete")
        self.objects.pop(key, None)

    def list(self, prefix: str, after: str = "") -> list[str]:
        return [each.key for each in self.entries(prefix) if each.key > after]
