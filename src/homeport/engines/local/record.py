"""What the local engine remembers of each environment, app, instance and task. Kept in `stores.state`.

Used by the engine's parts; a record is always written before the thing that it speaks of is made."""

from datetime import datetime

from msgspec import Struct

from homeport.errors import NotFound
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Share
from homeport.model.fleet import Instance
from homeport.model.platform import Group, Place
from homeport.model.release import Release, Snapshot
from homeport.model.session import Session
from homeport.stores.state import State

ENVIRONMENT, APP, INSTANCE, TASK, RELEASE, ASKED, ZONE, ORDINAL, SESSION, MAINTENANCE = (
    "environment",
    "app",
    "instance",
    "task",
    "release",
    "size",  # its name since sizes were all that was asked
    "zone",
    "ordinal",
    "session",
    "maintenance",
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
    fail_open: tuple[str, ...] = ()
    """Groups whose targets get requests whatever their checks say."""
    leaving: bool = False
    shares: tuple[Share, ...] = ()
    """How the requests to groups are shared where not evenly."""


class ReleaseRecord(Struct, frozen=True, kw_only=True):
    """A prepared release, so that the engine can launch it without the store. Secrets are ciphertext."""

    release: Release
    snapshot: Snapshot
    prepared_at: datetime | None = None
    """None: by a Homeport that didn't note it."""


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
    stop_at: datetime | None = None


class SessionRecord(Struct, frozen=True, kw_only=True):
    """`holder`, `started`, `boot_id`: the process that keeps the session, and removes all that was made for it."""

    seen: Session
    holder: int
    started: int
    boot_id: str
    pid: int | None = None
    """Pid 1 of a one-off's sandbox, once it is there, with its start time."""
    pid_started: int | None = None


class Records:
    """The records of all environments, with their types. Thread-safe as `State` is."""

    def __init__(self, state: State) -> None:
        self.state = state

    def environments(self) -> dict[str, EnvironmentRecord]:
        return self.state.all(ENVIRONMENT, "", EnvironmentRecord)

    def environment(self, id_: str) -> EnvironmentRecord:
        """Raises `NotFound`."""
        found = self.state.get(ENVIRONMENT, "", id_, EnvironmentRecord)
        if found is None:
            raise NotFound(f"environment {id_!r} isn't open", hint="homeport up")
        return found

    def keep_environment(self, kept: EnvironmentRecord) -> None:
        self.state.put(ENVIRONMENT, "", kept.place.id, kept, durable=True)

    def forget_environment(self, id_: str) -> None:
        """Its records are gone, but for the ordinals: an instance's id, and so its logs, are never another's."""
        self.state.remove(ENVIRONMENT, "", id_)
        self.state.forget(id_, but=ORDINAL)

    def apps(self, environment: str) -> dict[str, AppRecord]:
        return self.state.all(APP, environment, AppRecord)

    def app(self, environment: str, app: str) -> AppRecord:
        return self.state.get(APP, environment, app, AppRecord) or AppRecord()

    def keep_app(self, environment: str, app: str, kept: AppRecord) -> None:
        self.state.put(APP, environment, app, kept, durable=True)

    def forget_app(self, environment: str, app: str) -> None:
        """Nothing but the ordinals speaks of it any more. Its own record goes last: without it nobody would look for
        the rest."""
        for id_, instance in self.instances(environment).items():
            if instance.seen.app == app:
                self.forget_instance(environment, id_)
        for id_, task in self.tasks(environment).items():
            if task.app == app:
                self.forget_task(environment, id_)
        for kept in self.releases(environment).values():
            if kept.release.app == app:
                self.forget_release(environment, app, kept.release.number)
        for said in self.asked(environment).groups:
            if said.app == app:
                self.keep_asked(environment, GroupAsked(app=app, group=said.group))
        self.state.remove(MAINTENANCE, environment, app)
        self.state.remove(APP, environment, app)

    def releases(self, environment: str) -> dict[str, ReleaseRecord]:
        """`<app>/<number>` → release."""
        return self.state.all(RELEASE, environment, ReleaseRecord)

    def release(self, environment: str, app: str, number: int) -> Release | None:
        found = self.state.get(RELEASE, environment, f"{app}/{number}", ReleaseRecord)
        return None if found is None else found.release

    def forget_release(self, environment: str, app: str, number: int) -> None:
        self.state.remove(RELEASE, environment, f"{app}/{number}")

    def group(self, environment: str, seen: Instance) -> Group | None:
        """The instance's group, as its release has it."""
        known = self.release(environment, seen.app, seen.release)
        return known.resolved.group(seen.group) if known else None

    def asked(self, environment: str) -> Asked:
        return Asked(
            groups=tuple(self.state.all(ASKED, environment, GroupAsked).values()),
            zones=tuple(self.state.all(ZONE, environment, ZoneAsked).values()),
            maintenance=tuple(self.state.all(MAINTENANCE, environment, MaintenanceAsked).values()),
        )

    def keep_asked(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        """Kept, or where nothing is asked any more, forgotten."""
        if isinstance(said, ZoneAsked):
            kind, key, nothing = ZONE, said.zone, said.failure is None
        elif isinstance(said, MaintenanceAsked):
            kind, key, nothing = MAINTENANCE, said.app, not said.on
        else:
            kind, key, nothing = ASKED, f"{said.app}/{said.group}", said.nothing
        if nothing:
            self.state.remove(kind, environment, key)
        else:
            self.state.put(kind, environment, key, said, durable=True)

    def instances(self, environment: str) -> dict[str, InstanceRecord]:
        return self.state.all(INSTANCE, environment, InstanceRecord)

    def instance(self, environment: str, id_: str) -> InstanceRecord | None:
        return self.state.get(INSTANCE, environment, id_, InstanceRecord)

    def keep_instance(self, environment: str, kept: InstanceRecord) -> None:
        self.state.put(INSTANCE, environment, kept.seen.id, kept)

    def forget_instance(self, environment: str, id_: str) -> None:
        self.state.remove(INSTANCE, environment, id_)

    def ordinals(self, environment: str) -> dict[str, int]:
        return self.state.all(ORDINAL, environment, int)

    def use_ordinal(self, environment: str, group: str, ordinal: int) -> None:
        """No later instance of the group gets it, or a lower one."""
        highest = self.state.get(ORDINAL, environment, group, int) or 0
        self.state.put(ORDINAL, environment, group, max(highest, ordinal))

    def tasks(self, environment: str) -> dict[str, TaskRecord]:
        return self.state.all(TASK, environment, TaskRecord)

    def task(self, environment: str, id_: str) -> TaskRecord | None:
        return self.state.get(TASK, environment, id_, TaskRecord)

    def keep_task(self, environment: str, kept: TaskRecord) -> None:
        self.state.put(TASK, environment, kept.id, kept)

    def forget_task(self, environment: str, id_: str) -> None:
        self.state.remove(TASK, environment, id_)

    def sessions(self, environment: str) -> dict[str, SessionRecord]:
        return self.state.all(SESSION, environment, SessionRecord)

    def session(self, environment: str, id_: str) -> SessionRecord | None:
        return self.state.get(SESSION, environment, id_, SessionRecord)

    def keep_session(self, environment: str, kept: SessionRecord) -> None:
        self.state.put(SESSION, environment, kept.seen.id, kept)

    def forget_session(self, environment: str, id_: str) -> None:
        self.state.remove(SESSION, environment, id_)

    def next_session(self, environment: str, kind: str) -> str:
        """An id that no session had or will have; also where several programs ask at once. The dot keeps it apart from
        the instances of a group of that name."""
        return f"{kind}.{self.state.count(ORDINAL, environment, f'{kind}.')}"
