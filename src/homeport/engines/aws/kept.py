"""What the engine must remember of an environment beyond what AWS itself does: in the object store, so that whoever
calls next knows it. Used by `engine`.

_environments/<platform>/<environment>/state/<n>    the whole of it, anew at each change; the greatest number counts
_environments/<platform>/<environment>/events/<n>   the newest so many
"""

from collections.abc import Callable
from datetime import datetime

import msgspec
from msgspec import Struct

from homeport.errors import Conflict, Failed, NotFound
from homeport.model.asked import GroupAsked, MaintenanceAsked
from homeport.model.event import Event
from homeport.model.platform import Place
from homeport.model.session import Session
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect

KEPT_EVENTS = 500


class Turn(Struct, frozen=True, kw_only=True):
    """An instance was told to bring a release. `command`: Systems Manager's id; empty once it has ended. `failed`: why
    it runs what it ran before."""

    release: int
    command: str
    begun_at: datetime
    ended_at: datetime | None = None
    failed: str = ""
    lines: tuple[str, ...] = ()
    """What the agent said of it further."""


class OneOff(Struct, frozen=True, kw_only=True):
    """A one-off process on an instance of its own, launched from its group's template. `instance`: empty until it is
    known to have been launched."""

    app: str
    group: str
    release: int
    begun_at: datetime
    template: str
    version: str
    subnet: str
    instance: str = ""
    stop_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    lost: bool = False
    tail: tuple[str, ...] = ()
    session: Session | None = None
    """A person's, as it began; None: a deployment's."""

    @property
    def ended(self) -> bool:
        return self.exit_code is not None or self.lost


class Kept(Struct, frozen=True, kw_only=True):
    """By app, where it is a mapping to numbers; `turns` by instance, `tasks` by id."""

    place: Place
    url: str
    closing: bool = False
    fences: dict[str, int] = {}
    launch: dict[str, int] = {}
    routes: dict[str, int] = {}
    prepared: dict[str, tuple[int, ...]] = {}
    leaving: tuple[str, ...] = ()
    groups: tuple[GroupAsked, ...] = ()
    turns: dict[str, Turn] = {}
    tasks: dict[str, OneOff] = {}
    maintenance: tuple[MaintenanceAsked, ...] = ()
    last_run: int = 0
    """Number of the last one-off of a person."""


class Memory:
    """Of one environment. Several may change it at once: who comes second begins with what the first one left."""

    def __init__(self, store: ObjectStore, environment: str) -> None:
        self._store = store
        self._prefix = f"_environments/{environment}/"
        self._number: int | None = None

    def read(self) -> Kept | None:
        """None: the environment isn't up. Raises `Unavailable`, `Failed` for what can't be read."""
        return self._read()[1]

    def change(self, changed: Callable[[Kept | None], Kept]) -> Kept:
        """What is kept then."""
        while True:
            number, known = self._read()
            wanted = changed(known)
            if wanted == known:
                return wanted
            try:
                _create(self._store, self._key(number + 1), msgspec.json.encode(wanted))
            except Conflict:
                continue
            if number > 1:
                _delete(self._store, self._key(number - 1))
            return wanted

    def forget(self) -> None:
        """Nothing is left of it."""
        for key in [*self._store.list(f"{self._prefix}state/"), *self._store.list(f"{self._prefix}events/")]:
            _delete(self._store, key)

    def record(self, event: Event) -> None:
        number = self._last() + 1
        while True:
            numbered = msgspec.structs.replace(event, number=number)
            try:
                _create(self._store, self._event(number), msgspec.json.encode(numbered))
                break
            except Conflict:
                number += 1
        self._number = number
        if number > KEPT_EVENTS:
            _delete(self._store, self._event(number - KEPT_EVENTS))

    def events(self, after: int, limit: int) -> list[Event]:
        keys = self._store.list(f"{self._prefix}events/", after=self._event(after))
        return [msgspec.json.decode(self._store.get(key), type=Event) for key in keys[:limit]]

    def _read(self) -> tuple[int, Kept | None]:
        while True:
            keys = self._store.list(f"{self._prefix}state/")
            if not keys:
                return 0, None
            try:
                data = self._store.get(keys[-1])
            except NotFound:
                continue  # somebody changed it twice meanwhile
            try:
                return int(keys[-1].rpartition("/")[2]), msgspec.json.decode(data, type=Kept)
            except msgspec.DecodeError as error:
                raise Failed(f"object {keys[-1]} can't be read: {error}") from error

    def _last(self) -> int:
        if self._number is None:
            keys = self._store.list(f"{self._prefix}events/")
            self._number = int(keys[-1].rpartition("/")[2]) if keys else 0
        return self._number

    def _key(self, number: int) -> str:
        return f"{self._prefix}state/{number:08d}"

    def _event(self, number: int) -> str:
        return f"{self._prefix}events/{number:08d}"


@effect("aws.keep")
def _create(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)


@effect("aws.forget")
def _delete(store: ObjectStore, key: str) -> None:
    store.delete(key)
