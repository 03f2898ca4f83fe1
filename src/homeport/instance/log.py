"""Logs of instances: read in order of time, followed, and kept within bounds. Called by the engine.

Under an environment's directory lies `<instance>/<process>/` as svlogd writes it: `current`, and older files `@…`. The
app can write there too: nothing is followed but directories and files themselves, and lines are only text. What app an
instance is of says `<instance>/.app`, for as long as its logs are kept; the app can't write there.
"""

import heapq
import os
import re
import shutil
import stat
from collections.abc import Callable, Container, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from homeport.errors import Invalid
from homeport.ports.engine import LogLine, LogQuery
from homeport.system import text_file
from homeport.system.clock import pause
from homeport.system.effect import effect

FOLLOW_SECONDS = 0.1
_APP = ".app"
_CONSOLE = "boot.log"
"""No process type has a dot in its name, nor can the app write there."""
_FILE_LIMIT_BYTES = 16_000_000
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{5}) ?")
_STAMP_BYTES = re.compile(_STAMP.pattern.encode())
_OLDEST = datetime.min.replace(tzinfo=UTC)


def read(
    directory: Path,
    query: LogQuery,
    *,
    follow: bool = False,
    wanted: Callable[[str], bool] = lambda _instance: True,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[LogLine]:
    """Lines of the environment whose logs lie in `directory`, oldest first; with `follow` it goes on as they come,
    until `stopped` says so. `wanted` tells which instances belong to the query's app and group. Raises `Invalid` for
    a pattern that is none."""
    matches = matcher(query)

    def logs() -> list[Path]:
        return [
            process
            for instance in _directories(directory)
            if query.instance in ("", instance.name) and wanted(instance.name)
            for process in _directories(instance)
            if query.process in ("", process.name)
        ]

    return _read(logs, query, matches, stopped if follow else None)


def _read(
    logs: Callable[[], list[Path]],
    query: LogQuery,
    matches: Callable[[LogLine], bool],
    stopped: Callable[[], bool] | None,
) -> Iterator[LogLine]:
    tails: dict[Path, _Tail] = {}
    if stopped is None:
        lines = heapq.merge(*(_selected(log, query, matches) for log in logs()), key=_at)
    else:
        found = logs()
        # The ends first: what comes while the rest is read is then read by following.
        tails = {log: _Tail.at_end(log) for log in found}
        lines = heapq.merge(*(_selected(log, query, matches, until=tails[log]) for log in found), key=_at)
    if query.last is None:
        yield from lines
    else:
        yield from list(lines)[-query.last :] if query.last > 0 else ()
    while stopped is not None and not stopped():
        fresh: list[LogLine] = []
        for log in logs():
            fresh += filter(matches, tails.setdefault(log, _Tail()).read(log))
        yield from sorted(fresh, key=_at)
        if not fresh:
            pause(FOLLOW_SECONDS)


def _at(line: LogLine) -> datetime:
    return line.at


def matcher(query: LogQuery) -> Callable[[LogLine], bool]:
    try:
        pattern = re.compile(query.pattern)
    except re.error as error:
        raise Invalid(f"log pattern {query.pattern!r}: {error}, expected a regular expression") from error
    since_at = query.since_at or _OLDEST
    return lambda line: line.at >= since_at and pattern.search(line.text) is not None


class _Piece(Struct, frozen=True):
    """One file of a log."""

    name: str
    inode: int
    modified_at: datetime
    size: int


def _pieces(log: Path) -> list[_Piece]:
    """Oldest first, `current` last; as they were when the directory was listed, for a rotation changes the names."""
    # First: what is rotated meanwhile is among the others then, and what is new waits for the next look.
    current = _piece(log, "current")
    found = [piece for name in _names(log) if name.startswith("@") and (piece := _piece(log, name)) is not None]
    if current is not None and all(piece.inode != current.inode for piece in found):
        found.append(current)
    return found


def _piece(log: Path, name: str) -> _Piece | None:
    try:
        info = os.stat(log / name, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(info.st_mode):
        return None
    return _Piece(name, info.st_ino, datetime.fromtimestamp(info.st_mtime, UTC), info.st_size)


class _Tail:
    """How far a log has been read: the last file of it, the bytes of that, and the newest of the rotated ones then."""

    def __init__(self) -> None:
        self.inode: int | None = None
        self.offset = 0
        self.rotated = ""
        self.pending = b""
        self.at: datetime | None = None

    @classmethod
    def at_end(cls, log: Path) -> "_Tail":
        tail = cls()
        pieces = _pieces(log)
        if pieces:
            tail.inode = pieces[-1].inode
            tail.offset = _content(log, pieces[-1], 0).rfind(b"\n") + 1
            tail._note_rotated(pieces)
        return tail

    def read(self, log: Path) -> list[LogLine]:
        """What came since the last call, through any number of rotations."""
        pieces = _pieces(log)
        lines: list[LogLine] = []
        for number, piece in enumerate(each for each in pieces if each.name == "current" or each.name > self.rotated):
            if number > 0 or piece.inode != self.inode:
                self.inode, self.offset = piece.inode, 0
            if piece.size <= self.offset:
                continue
            data = _content(log, piece, self.offset)
            self.offset += len(data)
            if self.pending and _STAMP_BYTES.match(data):
                self.pending += b"\n"
            data = self.pending + data
            whole = data.rfind(b"\n") + 1
            data, self.pending = data[:whole], data[whole:]
            lines += _lines(log, data, self.at or piece.modified_at)
            self.at = lines[-1].at if lines else self.at
        self._note_rotated(pieces)
        return lines

    def _note_rotated(self, pieces: list[_Piece]) -> None:
        self.rotated = max([self.rotated, *(piece.name for piece in pieces if piece.name != "current")])


def _selected(
    log: Path, query: LogQuery, matches: Callable[[LogLine], bool], until: _Tail | None = None
) -> Iterable[LogLine]:
    """Matching lines of one log, oldest first; only the newest files where the query allows it."""
    since_at = query.since_at or _OLDEST
    chunks: list[list[LogLine]] = []
    count = 0
    rest, oldest_at = b"", _OLDEST
    skip = until is not None
    for piece in reversed(_pieces(log)):
        if piece.modified_at < since_at or (query.last is not None and count >= query.last):
            break
        data = _content(log, piece, 0)
        if skip and until is not None:
            if piece.inode != until.inode:
                continue
            data, skip = data[: until.offset], False
        # svlogd cuts a long line where the file is full; the next file begins with the rest of it.
        data += rest
        start = 0 if _STAMP_BYTES.match(data) else data.find(b"\n") + 1 or len(data)
        rest, data = data[:start], data[start:]
        chunks.append([line for line in _lines(log, data, piece.modified_at) if matches(line)])
        count += len(chunks[-1])
        oldest_at = piece.modified_at
    chunks.append([line for line in _lines(log, rest, oldest_at) if matches(line)])
    return (line for chunk in reversed(chunks) for line in chunk)


def _lines(log: Path, data: bytes, at: datetime) -> list[LogLine]:
    """`at`: the time of a first line without one; others without get that of the line before."""
    found = []
    for text in data.decode(errors="replace").split("\n"):
        match = _STAMP.match(text)
        if match:
            at = _parsed(match[1]) or at
            text = text[match.end() :]
        elif not text:
            continue
        found.append(LogLine(at=at, instance=log.parent.name, process=log.name, text=text))
    return found


def _parsed(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(f"{stamp}0+00:00")
    except ValueError:
        return None


def _content(log: Path, piece: _Piece, offset: int) -> bytes:
    """The file's bytes from there on, even if it was rotated a moment ago; empty if it is gone."""
    for name in _possible_names(log, piece):
        try:
            descriptor = os.open(log / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue
        with open(descriptor, "rb") as file:
            if os.fstat(descriptor).st_ino == piece.inode:
                file.seek(offset)
                return file.read(_FILE_LIMIT_BYTES)
    return b""


def _possible_names(log: Path, piece: _Piece) -> Iterator[str]:
    yield piece.name
    yield from (each.name for each in _pieces(log) if each.inode == piece.inode)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _directories(directory: Path) -> list[Path]:
    return [each for name in _names(directory) if (each := directory / name).is_dir() and not each.is_symlink()]


def keep_app(instance: Path, app: str) -> None:
    """The logs in the directory `instance` are known to be the app's."""
    if app_of(instance) is None:
        _write_app(instance, app)


def app_of(instance: Path) -> str | None:
    """The app whose logs lie in the directory; None: it isn't known."""
    return text_file.read(instance / _APP)


@effect("log.keep_app")
def _write_app(instance: Path, app: str) -> None:
    instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    text_file.replace(instance / _APP, app)


@effect("log.make_console")
def console(instance: Path) -> Path:
    """Where what starts and ends the instance's generations writes: read and kept as the log of a process."""
    directory = instance / _CONSOLE
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory / "current"


class Ended(Struct, frozen=True, kw_only=True):
    """The logs of one instance that has ended."""

    path: Path
    size_bytes: int
    modified_at: datetime
    """When a line was last written."""


def ended(logs: Path, live: Container[Path]) -> list[Ended]:
    """Of instances that aren't among `live`. `logs` has a level each of platforms, environments and instances."""
    return [
        found
        for platform in _directories(logs)
        for environment in _directories(platform)
        for instance in _directories(environment)
        if instance not in live and (found := _ended(instance)) is not None
    ]


def _ended(instance: Path) -> Ended | None:
    """None: it was removed meanwhile."""
    pieces = [piece for process in _directories(instance) for piece in _pieces(process)]
    try:
        modified = datetime.fromtimestamp(os.stat(instance, follow_symlinks=False).st_mtime, UTC)
    except OSError:
        return None
    return Ended(
        path=instance,
        size_bytes=sum(piece.size for piece in pieces),
        modified_at=max([modified, *(piece.modified_at for piece in pieces)]),
    )


@effect("log.remove")
def remove(path: Path) -> None:
    """What can't be removed now goes another time."""
    shutil.rmtree(path, ignore_errors=True)
