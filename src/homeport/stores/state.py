"""What AWS itself would hold, in SQLite: environments, launch releases, sizes, instances, tasks, events.

Records are msgspec structs as JSON, one table per kind; used by `engines.local`. Every write is one transaction."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from homeport.errors import Unavailable
from homeport.model.event import Event
from homeport.system.disk import is_full, make_room
from homeport.system.effect import effect

T = TypeVar("T")

SCHEMA = """
create table if not exists records (
    kind text not null, environment text not null, key text not null, value blob not null,
    primary key (kind, environment, key)
) without rowid;
create table if not exists events (
    number integer primary key autoincrement, environment text not null, value blob not null
);
create index if not exists events_of on events (environment, number);
"""
VERSION = 1
MANY_FREE_BYTES = 10_000_000
RESERVE_BYTES = 500_000
KEPT_EVENTS = 20_000
"""Of an environment."""


class State:
    """Thread-safe. Every method may raise `Unavailable`: disk full, read-only, gone; then nothing was changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._decoded: dict[tuple[str, str, str], tuple[bytes, object]] = {}
        """What was read last, and what it said: most records are read at every tick and seldom change."""
        with self._translated():
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma busy_timeout = 5000")
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(SCHEMA)
            found = self._connection.execute("pragma user_version").fetchone()[0]
            if found > VERSION:
                raise Unavailable(f"{path} was written by a newer Homeport (format {found}, expected {VERSION})")
            self._connection.execute(f"pragma user_version = {VERSION}")

    def put(self, kind: str, environment: str, key: str, value: object, *, durable: bool = False) -> None:
        """The record is there. `durable`: also after a loss of power (else the last moments may be lost, whole)."""
        with self._lock, self._translated():
            if durable:
                self._connection.execute("pragma synchronous = full")
            try:
                _write(
                    self._connection,
                    "insert or replace into records values (?, ?, ?, ?)",
                    (kind, environment, key, msgspec.json.encode(value)),
                )
            finally:
                if durable:
                    self._connection.execute("pragma synchronous = normal")

    def get(self, kind: str, environment: str, key: str, type_: type[T]) -> T | None:
        """The record; None: there is none."""
        with self._lock, self._translated():
            query = "select value from records where kind = ? and environment = ? and key = ?"
            row = self._connection.execute(query, (kind, environment, key)).fetchone()
            return None if row is None else self._decode(kind, environment, key, row[0], type_)

    def all(self, kind: str, environment: str, type_: type[T]) -> dict[str, T]:
        """Key → record, in order of keys."""
        with self._lock, self._translated():
            query = "select key, value from records where kind = ? and environment = ? order by key"
            rows = self._connection.execute(query, (kind, environment)).fetchall()
            return {key: self._decode(kind, environment, key, value, type_) for key, value in rows}

    def count(self, kind: str, environment: str, key: str) -> int:
        """One more than the number that the record was, and it is that now; 1 the first time. No two callers get the
        same, of whatever program."""
        with self._lock, self._translated():
            row = _write(
                self._connection,
                "insert into records values (?, ?, ?, cast('1' as blob)) on conflict do update set"
                " value = cast(cast(value as text) + 1 as blob) returning value",
                (kind, environment, key),
            )
            return int(row[0])

    def remove(self, kind: str, environment: str, key: str) -> None:
        """The record isn't there; no error if it wasn't."""
        with self._lock, self._translated():
            _write(
                self._connection,
                "delete from records where kind = ? and environment = ? and key = ?",
                (kind, environment, key),
            )
            self._decoded.pop((kind, environment, key), None)

    def forget(self, environment: str, *, but: str) -> None:
        """All records of an environment are gone, at once, but for those of the kind `but`; its events stay."""
        with self._lock, self._translated():
            _write(self._connection, "delete from records where environment = ? and kind != ?", (environment, but))
            self._decoded = {key: each for key, each in self._decoded.items() if key[1] != environment}

    def record(self, event: Event, *, keep: int = KEPT_EVENTS) -> None:
        """One more event. Of each environment the newest `keep` stay, of all together five times as many: nobody's
        unrest makes the others' past go."""
        with self._lock, self._translated():
            _write(
                self._connection,
                "insert into events (environment, value) values (?, ?)",
                (event.environment, msgspec.json.encode(event)),
            )
            number = self._connection.execute("select last_insert_rowid()").fetchone()[0]
            if number % min(500, keep) == 0:
                self._forget_events(number, keep)

    def events(self, environment: str, after: int, limit: int) -> list[Event]:
        """Events with a number above `after`, oldest first."""
        with self._lock, self._translated():
            query = "select number, value from events where environment = ? and number > ? order by number limit ?"
            rows = self._connection.execute(query, (environment, after, limit)).fetchall()
        return [
            msgspec.structs.replace(msgspec.json.decode(value, type=Event), number=number) for number, value in rows
        ]

    def _forget_events(self, number: int, keep: int) -> None:
        _write(self._connection, "delete from events where number <= ?", (number - 5 * keep,))
        for (environment,) in self._connection.execute("select distinct environment from events").fetchall():
            oldest = "select number from events where environment = ? order by number desc limit 1 offset ?"
            row = self._connection.execute(oldest, (environment, keep)).fetchone()
            if row is not None:
                forget = "delete from events where environment = ? and number <= ?"
                _write(self._connection, forget, (environment, row[0]))

    def reserve(self) -> None:
        """From now on some hundreds of changes can be written though the disk is full: the files hold room for them.
        Nothing, where it is full already."""
        with self._lock, suppress(sqlite3.Error):
            if self._pages("freelist_count") < RESERVE_BYTES:
                _fill(self._connection, RESERVE_BYTES)

    def compact(self) -> None:
        """What holds nothing any more is given back, where that is much: needs as much room as what is left."""
        with self._lock, self._translated():
            if self._pages("freelist_count") > MANY_FREE_BYTES:
                _vacuum(self._connection)
        self.reserve()

    def _pages(self, which: str) -> int:
        """Bytes of the pages that this pragma counts."""
        count, size = (self._connection.execute(f"pragma {each}").fetchone()[0] for each in (which, "page_size"))
        return int(count) * int(size)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _decode(self, kind: str, environment: str, key: str, value: bytes, type_: type[T]) -> T:
        """The record, decoded anew only where its bytes are others than last time."""
        known = self._decoded.get((kind, environment, key))
        if known is not None and known[0] == value and type(known[1]) is type_:
            return known[1]
        decoded = msgspec.json.decode(value, type=type_)
        self._decoded[kind, environment, key] = (value, decoded)
        return decoded

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # opened on a full disk, it can't make its files, and says that it can't read or write
            if _full(error) or is_full(self.path.parent):
                raise Unavailable(
                    f"the engine's state {self.path} can't be written: the disk is full",
                    hint=make_room(self.path.parent),
                ) from error
            raise Unavailable(
                f"the engine's state {self.path} can't be used: {error}", hint="homeport doctor"
            ) from error


@effect("state.write")
def _write(connection: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> Any:
    """The first row that the statement returns; None: it returns none."""
    try:
        return connection.execute(statement, values).fetchone()
    except sqlite3.OperationalError as error:
        if not _full(error):
            raise
        # what the log holds goes to its place; then it is written from its beginning, which takes no room
        connection.execute("pragma wal_checkpoint(restart)")
        return connection.execute(statement, values).fetchone()


def _full(error: sqlite3.Error) -> bool:
    # what Python itself raises has no code
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


@effect("state.vacuum")
def _vacuum(connection: sqlite3.Connection) -> None:
    connection.execute("vacuum")
    connection.execute("pragma wal_checkpoint(truncate)")


@effect("state.fill")
def _fill(connection: sqlite3.Connection, size_bytes: int) -> None:
    """Both files grow by so much, which is free for later. Two transactions: what one makes and drops, it never
    writes."""
    connection.execute("create table if not exists reserve (filler blob)")
    connection.execute("insert into reserve values (zeroblob(?))", (size_bytes,))
    connection.execute("drop table reserve")
    connection.execute("pragma wal_checkpoint(restart)")
