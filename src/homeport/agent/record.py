"""What the agent remembers from call to call: what serves, what is being tried, what was refused. One file, written
before the thing is done that it speaks of. Called by `agent.deployment` and `agent.status`."""

import os
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from homeport.errors import Failed, Unavailable
from homeport.model.release import Release, Snapshot
from homeport.releases.publish import decode, encode
from homeport.system.effect import effect


class Bound(Struct, frozen=True, kw_only=True):
    """A release that this server runs, or is to run: `groups` of it. Secrets are ciphertext."""

    url: str
    release: Release
    snapshot: Snapshot
    groups: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.release.id} of {self.release.app}"


class Generation(Struct, frozen=True, kw_only=True):
    """One process tree of the instance. `pid` None: not known to have been started; `started` with it is its start
    time, `boot_id` the run of the machine. `address`: what it was told to listen on."""

    number: int
    bound: Bound
    instance: str
    zone: str
    address: str
    ports: dict[str, int]
    boot_id: str
    begun_at: datetime
    pid: int | None = None
    started: int | None = None

    def like(self, other: "Generation") -> bool:
        """Whether the other one would run the same, in the same way."""
        fields = ("bound", "instance", "zone", "address", "ports")
        return all(getattr(self, name) == getattr(other, name) for name in fields)


class Refusal(Struct, frozen=True, kw_only=True):
    """A release that doesn't become healthy, and why; for people."""

    bound: Bound
    reason: str
    details: tuple[str, ...] = ()
    hint: str | None = None


class Record(Struct, frozen=True, kw_only=True):
    """`good`: what serves, or is to serve again. `trying`: was begun, and nobody knows yet. `refused`: the way back
    from it isn't finished. `generation`: what was started last; `last` its number, also when it has ended. `stopped`: a
    person wants nothing to run."""

    good: Bound | None = None
    trying: Bound | None = None
    refused: Refusal | None = None
    generation: Generation | None = None
    last: int = 0
    stopped: bool = False


class Records:
    def __init__(self, root: Path) -> None:
        self.path = root / "record.json"

    def load(self) -> Record:
        """Raises `Failed` for a file that isn't one, `Unavailable`."""
        try:
            return decode(self.path.read_bytes(), Record, str(self.path))
        except FileNotFoundError:
            return Record()
        except OSError as error:
            raise Unavailable(f"can't read {self.path}: {error.strerror}") from error
        except Failed as error:
            hint = f"homeport-agent stop can't help any more: end its processes, then rm {self.path}"
            raise Failed(error.message, hint=hint) from error

    @effect("agent.record")
    def save(self, record: Record) -> Record:
        """The same, once it is durable."""
        part = self.path.with_name(f".{self.path.name}.new")
        try:
            with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(encode(record))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            raise Unavailable(f"can't write {self.path}: {error.strerror}", hint=f"df -h {self.path.parent}") from error
        return record
