"""What the engine must remember of an environment beyond what AWS itself does: in the object store, so that whoever
calls next knows it. Used by `engine`.

_environments/<platform>/<environment>/state/<n>    the whole of it, anew at each change; the greatest number counts
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict, Failed, HomeportError, NoStore, NotFound
from homeport.model.asked import GroupAsked, MaintenanceAsked, Suspendable
from homeport.model.platform import Place
from homeport.model.session import Session
from homeport.ports.clock import Clock
from homeport.ports.objects import Entry, ObjectStore
from homeport.system.effect import effect

T = TypeVar("T")
COUNTS_SECONDS = 0.5
"""For so long what was read is taken for what is there, by who only reads."""


class Turn(Struct, frozen=True, kw_only=True):
    """An instance was told to bring a release. `command`: Systems Manager's id; empty once it has ended, and while
    `unsent`: it couldn't be told yet. `failed`: why it runs what it ran before; `unheard`: it never knew of it."""

    release: int
    command: str
    begun_at: datetime
    ended_at: datetime | None = None
    failed: str = ""
    lines: tuple[str, ...] = ()
    """What the agent said of it further."""
    unsent: bool = False
    unheard: bool = False


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
    held: dict[str, tuple[Suspendable, ...]] = {}
    """`app/group` → what its launch breaker has suspended."""
    turns: dict[str, Turn] = {}
    tasks: dict[str, OneOff] = {}
    maintenance: tuple[MaintenanceAsked, ...] = ()
    last_run: int = 0
    """Number of the last one-off of a person."""


class Seen(Struct, frozen=True, kw_only=True):
    """The newest as last seen. `modified_at` None: it is ours, and the store hasn't shown it yet."""

    key: str
    size_bytes: int
    modified_at: datetime | None
    kept: Kept

    def still(self, newest: Entry) -> bool:
        """Whether that is this very one: numbers begin anew where an environment does."""
        same = (newest.key, newest.size_bytes) == (self.key, self.size_bytes)
        return same and self.modified_at in (None, newest.modified_at)


def leaving(kept: Kept, app: str) -> Kept:
    """The app is about to go, and gets no requests. Raises `NotFound`."""
    if app not in kept.fences:
        raise NotFound(f"{app} isn't in {kept.place.id}")
    return replace(kept, leaving=tuple(sorted({*kept.leaving, app})), routes=_others(kept.routes, app))


def without(kept: Kept, app: str) -> Kept:
    """Nothing is known of the app any more."""
    return replace(
        kept,
        fences=_others(kept.fences, app),
        launch=_others(kept.launch, app),
        routes=_others(kept.routes, app),
        prepared=_others(kept.prepared, app),
        groups=tuple(each for each in kept.groups if each.app != app),
        held={name: each for name, each in kept.held.items() if name.partition("/")[0] != app},
        tasks={id_: each for id_, each in kept.tasks.items() if each.app != app},
        leaving=tuple(each for each in kept.leaving if each != app),
    )


def _others(known: Mapping[str, T], app: str) -> dict[str, T]:
    return {key: each for key, each in known.items() if key != app}


class Memory:
    """Of one environment. Several may change it at once: who comes second begins with what the first one left.

    An object is fetched once. Whether it is still the newest is asked before each change, and by who wants it anew;
    else not more often than every `COUNTS_SECONDS`."""

    def __init__(self, store: ObjectStore, environment: str, clock: Clock) -> None:
        self._store = store
        self._prefix = f"_environments/{environment}/state/"
        self._clock = clock
        self._lock = threading.RLock()
        self._seen: Seen | None = None
        self._seen_at = 0.0
        self._begun: threading.Thread | None = None

    def begin(self) -> None:
        """It is being read from now on; who reads first waits for that. What goes wrong is theirs to find."""

        def first() -> None:
            with suppress(HomeportError):
                self._newest()

        self._begun = threading.Thread(target=first, name="kept", daemon=True)
        self._begun.start()

    def read(self, *, anew: bool = False) -> Kept | None:
        """None: the environment isn't up. Raises `Unavailable`, `Failed` for what can't be read."""
        with self._lock:
            begun, self._begun = self._begun, None
            if begun is not None:
                begun.join()
            fresh = begun is not None or not anew
            counts = fresh and self._clock.monotonic() - self._seen_at < COUNTS_SECONDS
            return self._seen.kept if counts and self._seen is not None else self._newest()[1]

    def change(self, changed: Callable[[Kept | None], Kept]) -> Kept:
        """What is kept then. `changed` may be called several times."""
        with self._lock:
            known = self.read()
            while (wanted := changed(known)) != known:
                number, known = self._newest()
                if (wanted := changed(known)) == known:
                    break
                key, data = f"{self._prefix}{number + 1:08d}", msgspec.json.encode(wanted)
                try:
                    _create(self._store, key, data)
                except Conflict:
                    continue
                self._see(Seen(key=key, size_bytes=len(data), modified_at=None, kept=wanted))
                if number > 1:
                    _delete(self._store, f"{self._prefix}{number - 1:08d}")
                break
            return wanted

    def forget(self) -> None:
        """Nothing is left of it."""
        with self._lock:
            self._seen = None
            for key in self._store.list(self._prefix):
                _delete(self._store, key)

    def _newest(self) -> tuple[int, Kept | None]:
        """With its number; 0 for none."""
        while True:
            try:
                newest = next(reversed(self._store.entries(self._prefix)), None)
            except NoStore:
                newest = None  # the first `up` makes it
            if newest is None:
                self._seen = None
                return 0, None
            if self._seen is not None and self._seen.still(newest):
                kept = self._seen.kept
            else:
                try:
                    data = self._store.get(newest.key)
                    kept = msgspec.json.decode(data, type=Kept)
                except NotFound:
                    continue  # somebody changed it twice meanwhile
                except msgspec.DecodeError as error:
                    raise Failed(f"object {newest.key} can't be read: {error}") from error
            self._see(Seen(key=newest.key, size_bytes=newest.size_bytes, modified_at=newest.modified_at, kept=kept))
            return int(newest.key.rpartition("/")[2]), kept

    def _see(self, seen: Seen) -> None:
        self._seen, self._seen_at = seen, self._clock.monotonic()


@effect("aws.keep")
def _create(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)


@effect("aws.forget")
def _delete(store: ObjectStore, key: str) -> None:
    store.delete(key)
