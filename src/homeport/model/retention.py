"""What cleaning goes by: what lies in a store and on a machine, what of it goes, what is kept, and each time why."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

RemainKind = Literal["layer", "release", "instance", "task", "build", "cache", "log"]
"""layer: unpacked; release: the engine's own copy of a release and its config; instance, task: directories of what has
ended; build: scratch of a build that was killed; cache: downloads of builds; log: of an instance that has ended."""


class Remain(Struct, frozen=True, kw_only=True):
    """Something on the engine's machine. `name`: a path below $HOMEPORT_HOME. `needed`: why it must stay; empty:
    nothing that runs or may be started here needs it."""

    kind: RemainKind
    name: str
    size_bytes: int
    modified_at: datetime
    environment: str = ""
    needed: str = ""


class Removal(Struct, frozen=True, kw_only=True):
    """Something that goes. `what`: a key of the store, or a path below $HOMEPORT_HOME."""

    what: str
    size_bytes: int
    why: str


class Kept(Struct, frozen=True, kw_only=True):
    """Something that might have gone, and why it doesn't."""

    what: str
    why: str


class Sweep(Struct, frozen=True, kw_only=True):
    """What goes, in the order in which it goes, and what is kept."""

    going: tuple[Removal, ...] = ()
    kept: tuple[Kept, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.going)


class Cleaned(Struct, frozen=True, kw_only=True):
    """What went, or would go. `store`: app → its part. `problems`: why something couldn't be looked at or removed."""

    dry_run: bool
    store: dict[str, Sweep]
    machine: Sweep
    problems: tuple[str, ...]


class Usage(Struct, frozen=True, kw_only=True):
    """Bytes on disk, as they were at `measured_at`. `store_bytes`: 0 where it isn't on this machine. `builds_bytes`:
    with the copies of repositories. `environments`: id → its instances' private files and logs."""

    measured_at: datetime
    store_bytes: int
    layers_bytes: int
    instances_bytes: int
    logs_bytes: int
    builds_bytes: int
    environments: dict[str, tuple[int, int]] = {}


class Room(Struct, frozen=True, kw_only=True):
    """Of a file system."""

    free_bytes: int
    total_bytes: int
