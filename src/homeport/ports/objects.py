"""The object store, as a port. Only *create if absent* is relied on to be atomic; nothing is ever rewritten."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class Entry(Struct, frozen=True, kw_only=True):
    """An object without its content. `modified_at`: by the store's clock."""

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """Keys are slash-separated. Every method may raise `Unavailable`: the store doesn't answer. Nothing was changed
    then, unless only the answer got lost: of a `create` it isn't known whether it was carried out. What
    writes may raise `NotAllowed`: these credentials may only look."""

    @property
    def place(self) -> str:
        """The directory's path, or the URL; for people."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """The object exists durably. Raises `Conflict` if the key already existed (that object is left as it was)."""
        ...

    def create_from(self, key: str, path: Path) -> None:
        """As `create`, from a file; for layers."""
        ...

    def get(self, key: str) -> bytes:
        """Raises `NotFound`."""
        ...

    def get_to(self, key: str, path: Path) -> None:
        """The object's bytes in a new file at `path`. Raises `NotFound`; then there is no file."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes; None if there is no such object."""
        ...

    def list(self, prefix: str, after: str = "") -> list[str]:
        """All keys under `prefix` (a whole number of segments, ending in `/`), greater than `after`, sorted."""
        ...

    def entries(self, prefix: str) -> Sequence[Entry]:
        """All objects under `prefix`, as `list`; by key."""
        ...

    def delete(self, key: str) -> None:
        """The object is gone; no error if it wasn't there."""
        ...
