"""Object stores: adapters of obstore to `ports.objects.ObjectStore`. Wiring opens one; every room above uses it.

A directory: an object is written whole under `.staging/`, made durable there (obstore itself never calls fsync), and
only then linked to its key, which fails where the key exists. So no reader, no full disk and no loss of power ever
shows half an object.
"""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore

from homeport.errors import Conflict, Invalid, NotFound, Unavailable
from homeport.ports.objects import Entry, ObjectStore
from homeport.stores.fetch import discard, fetch
from homeport.stores.hurried import HurriedObjects
from homeport.stores.listing import STAGING, STALE, listed
from homeport.system.clock import SystemClock
from homeport.system.disk import make_room
from homeport.system.effect import effect


def open_store(
    url_or_path: str, *, must_exist: bool = True, hurried: bool = False, variables: Mapping[str, str] | None = None
) -> ObjectStore:
    """The store at a directory's path, a `file://` or an `s3://` URL. Raises `Invalid` for another scheme,
    `Unavailable` where the directory isn't there or can't be read; without `must_exist`, and of a bucket, only the
    methods do. `hurried`: for a caller that must go on with other things, and tries again by itself. `variables`: those
    of AWS's programs that hold where the environment doesn't have them."""
    parts = urlsplit(url_or_path)
    if parts.scheme == "s3":
        from homeport.stores.s3 import S3Objects

        found = S3Objects(url_or_path, hurried=hurried, variables=variables)
        return HurriedObjects(found, SystemClock()) if hurried else found
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return LocalObjects(Path(unquote(parts.path)), must_exist=must_exist)
    if "://" in url_or_path:
        raise Invalid(
            f"object store {url_or_path!r}: scheme {parts.scheme!r} isn't known, expected a directory or s3://",
            hint="write a path, file:///path, or s3://bucket/prefix",
        )
    return LocalObjects(Path(url_or_path), must_exist=must_exist)


def check_conditions(store: ObjectStore) -> None:
    """Nothing, where the store answers, and *create if absent* holds. Raises `Unavailable`, `Invalid`."""
    if isinstance(store, LocalObjects):
        store.size("is-anybody-there")
    else:
        from homeport.stores.s3 import S3Objects

        assert isinstance(store, S3Objects)
        store.check_conditions()


class LocalObjects:
    """A directory as object store. Implements `ports.objects.ObjectStore`."""

    def __init__(self, root: Path, *, must_exist: bool = True) -> None:
        """Raises `Unavailable` where `root` isn't a directory that can be used and `must_exist`."""
        self.root = root.absolute()
        if must_exist or self.root.is_dir():
            with self._translated("open the store"):
                self._sweep()

    @property
    def place(self) -> str:
        return str(self.root)

    @cached_property
    def _objects(self) -> LocalStore:
        return LocalStore(prefix=self.root)

    def create(self, key: str, data: bytes) -> None:
        with self._translated(f"create {key}", len(data)):
            self._create(key, data)

    def create_from(self, key: str, path: Path) -> None:
        with self._translated(f"create {key}", path.stat().st_size):
            self._create(key, path)

    def get(self, key: str) -> bytes:
        with self._translated(f"read {key}", missing=key):
            return bytes(obstore.get(self._objects, key).bytes())

    def get_to(self, key: str, path: Path) -> None:
        with self._translated(f"copy {key} to {path}", missing=key):
            fetch(path, self._pieces(key))

    def size(self, key: str) -> int | None:
        try:
            with self._translated(f"look at {key}", missing=key):
                return int(obstore.head(self._objects, key)["size"])
        except NotFound:
            return None

    def list(self, prefix: str, after: str = "") -> list[str]:
        return [each.key for each in self.entries(prefix, after)]

    def entries(self, prefix: str, after: str = "") -> Sequence[Entry]:
        with self._translated(f"list {prefix}"):
            return listed(self._objects, prefix, after)

    @effect("object.delete")
    def delete(self, key: str) -> None:
        with self._translated(f"delete {key}"), suppress(FileNotFoundError):
            obstore.delete(self._objects, key)

    def _create(self, key: str, data: bytes | Path) -> None:
        staged = f"{STAGING}/{secrets.token_hex(12)}"
        try:
            self._stage(staged, data)
            self._link(staged, key)
        except BaseException:
            discard(self.root / staged)
            raise

    @effect("object.stage")
    def _stage(self, staged: str, data: bytes | Path) -> None:
        obstore.put(self._objects, staged, data, use_multipart=isinstance(data, Path))
        _sync(self.root / staged)

    @effect("object.link")
    def _link(self, staged: str, key: str) -> None:
        obstore.rename(self._objects, staged, key, overwrite=False)
        for directory in (self.root / key).parents:
            _sync(directory)
            if directory == self.root:
                break

    def _pieces(self, key: str) -> Iterator[bytes]:
        for piece in obstore.get(self._objects, key).stream():
            yield bytes(piece)

    @effect("object.sweep")
    def _sweep(self) -> None:
        """What killed processes left in staging is gone. Something younger may be another process at work."""
        before = (SystemClock().now() - STALE).timestamp()
        with suppress(OSError):
            for path in (self.root / STAGING).iterdir():
                if path.lstat().st_mtime < before:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, doing: str, size_bytes: int = 0, *, missing: str | None = None) -> Iterator[None]:
        """Errors of obstore and the system as ours. The directory is looked at before and, where something isn't found,
        after: obstore takes a vanished store for an empty one, and makes it anew when it writes."""
        self._check_root(doing)
        try:
            yield
        except AlreadyExistsError as error:
            raise Conflict(f"object store {self.root}: can't {doing}: it exists already") from error
        except FileNotFoundError as error:
            self._check_root(doing)
            if missing is None or not _about_source(error):
                raise self._unavailable(doing, error, size_bytes) from error
            raise NotFound(f"object store {self.root}: there is no {missing}") from error
        except (BaseError, OSError) as error:
            raise self._unavailable(doing, error, size_bytes) from error
        else:
            self._check_root(doing)

    def _check_root(self, doing: str) -> None:
        try:
            if not self.root.is_dir():
                raise NotADirectoryError(f"{self.root} isn't there, or isn't a directory")
        except OSError as error:
            raise Unavailable(
                f"object store {self.root}: can't {doing}: the store's directory isn't there",
                hint=f"ls -ld {self.root}   # bring it back (mount it, restore it), or name another store",
            ) from error

    def _unavailable(self, doing: str, error: BaseException, size_bytes: int) -> Unavailable:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        message, hint = f"object store {self.root}: can't {doing}: {cause}", f"ls -ld {self.root}"
        with suppress(OSError):
            room = os.statvfs(self.root)
            if room.f_flag & os.ST_RDONLY:
                message, hint = (
                    f"object store {self.root}: can't {doing}: it is mounted read-only",
                    f"mount -o remount,rw {self.root}   # or name another store",
                )
            elif room.f_bavail * room.f_frsize <= size_bytes or (room.f_files and room.f_favail == 0):
                message, hint = (
                    f"object store {self.root}: can't {doing}: the disk is full",
                    make_room(self.root),
                )
        return Unavailable(message, hint=hint, details=(cause,))


def _about_source(error: FileNotFoundError) -> bool:
    """obstore's errors carry no errno; those of our own file calls do."""
    return error.errno is None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
