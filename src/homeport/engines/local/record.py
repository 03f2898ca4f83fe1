"""What the local engine remembers of each environment, app, instance and task. Kept in `stores.state`.

Used by the engine's parts; a record is always written before the thing that it speaks of is made."""

from datetime import datetime

from msgspec import Struct

from homeport.model.fleet import Instance
from homeport.model.platform import Place
from homeport.model.release import Release, Snapshot

ENVIRONMENT, APP, INSTANCE, TASK, RELEASE, SIZE, ORDINAL = (
    "environment",
    "app",
    "instance",
    "task",
    "release",
    "size",
    "ordinal",
)
"""Kinds of records."""


class EnvironmentRecord(Struct, frozen=True, kw_only=True):
    place: Place
    listen: str
    uid: int | None = None
    """Host uid of everything in its sandboxes; None: the engine's own user."""
    closing: bool = False


class AppRecord(Struct, frozen=True, kw_only=True):
    """`fence`: the highest seen; lower ones are refused."""

    launch: int | None = None
    routes: int | None = None
    fence: int = 0


class ReleaseRecord(Struct, frozen=True, kw_only=True):
    """A prepared release, so that the engine can launch it without the store. Secrets are ciphertext."""

    release: Release
    snapshot: Snapshot


class InstanceRecord(Struct, frozen=True, kw_only=True):
    """`seen` as last recorded: its `run` is STARTING before the spawn, RUNNING with a pid after it, STOPPED when it is
    known to have ended. `boot_id`: of the machine, when the generation started."""

    seen: Instance
    ports: dict[str, int] = {}
    started: int | None = None
    """Start time of the pid, in the kernel's ticks: with the pid, one process and no other."""
    boot_id: str = ""


class TaskRecord(Struct, frozen=True, kw_only=True):
    id: str
    app: str
    release: int
    command: str
    begun_at: datetime
    pid: int | None = None
    started: int | None = None
    exit_code: int | None = None
    lost: bool = False
