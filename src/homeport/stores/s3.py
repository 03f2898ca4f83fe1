"""An S3 bucket, or a prefix in one, as object store: obstore's S3Store behind `ports.objects.ObjectStore`.

*Create if absent* is a PUT with `If-None-Match: *`; a store that ignores that is refused (`check_conditions`). A large
file is uploaded in parts under `.staging/` and copied from there to its key, for obstore's own upload in parts can't
be conditional. Whatever is tried again is harmless to repeat; of a `create` whose answer got lost the object itself
says, in its metadata, who wrote it.
"""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from homeport.errors import Conflict, HomeportError, Invalid, NotFound, Unavailable
from homeport.ports.objects import Entry
from homeport.stores import s3_access
from homeport.stores.fetch import fetch
from homeport.stores.listing import STAGING, STALE, listed
from homeport.stores.s3_error import translated
from homeport.system.clock import SystemClock, pause
from homeport.system.effect import effect

LARGE_BYTES = 16_000_000
"""From here on a file is uploaded in parts, and any object is read in pieces of this size."""
LARGEST_BYTES = 5 * 1024**3
"""What S3 copies in one request."""
WRITER = "homeport-writer"
PATIENCE, HURRIED = timedelta(seconds=30), timedelta(seconds=2)
"""For how long something that may pass is tried again."""
ANSWER, HURRIED_ANSWER = timedelta(seconds=120), timedelta(seconds=3)
"""What one request may take."""


class S3Objects:
    """`url` is `s3://bucket` or `s3://bucket/prefix`. `hurried`: for a caller that must go on with other things, and
    tries again by itself. Raises `Invalid` for a URL or an AWS profile that can't be used; asks nothing yet."""

    def __init__(self, url: str, *, hurried: bool = False, variables: Mapping[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self.bucket, prefix = _split(url)
        self._environ = {**(variables or {}), **os.environ}
        self._access = s3_access.access(self._environ)
        self._clock = SystemClock()
        self._patience = HURRIED if hurried else PATIENCE
        self._trouble: list[HomeportError] = []
        self._prefix = prefix
        self._answer = HURRIED_ANSWER if hurried else ANSWER
        self._store = self._opened(retry=self._patience)

    @property
    def place(self) -> str:
        return self.url

    @cached_property
    def _once(self) -> S3Store:
        """One that tries nothing again. Opened only for who writes: each reads the machine's certificates anew."""
        return self._opened(retry=timedelta(0))

    def _opened(self, *, retry: timedelta) -> S3Store:
        access = self._access
        config: dict[str, Any] = {"copy_if_not_exists": "multipart", "conditional_put": "etag"}
        if access.endpoint is not None:
            config["endpoint"] = access.endpoint
        if access.region is not None:
            config["region"] = access.region
        if access.metadata is not None:
            config["metadata_endpoint"] = access.metadata
        if access.profile is not None:
            config["credential_provider"] = s3_access.provider(access.profile, self._environ, self._trouble)
        try:
            return S3Store(
                self.bucket,
                prefix=self._prefix or None,
                client_options={
                    "allow_http": (access.endpoint or "").startswith("http://"),
                    "connect_timeout": timedelta(seconds=3),
                    "timeout": self._answer,
                },
                retry_config={
                    "max_retries": 20 if retry else 0,
                    "retry_timeout": retry,
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=3),
                        "base": 2,
                    },
                },
                **config,
            )
        except BaseError as error:
            raise Invalid(f"object store {self.url}: {str(error).splitlines()[0]}") from error

    def create(self, key: str, data: bytes) -> None:
        """As in `ports.objects`, but where the answer got lost and nothing answers any more, `Unavailable` leaves open
        whether the object is there."""
        writer = secrets.token_hex(8)
        until = self._clock.monotonic() + self._patience.total_seconds()
        while True:
            try:
                with self._translated(f"create {key}", writes=True):
                    self._put(key, data, writer)
                return
            except Conflict:
                found = self._writer(key)
                if found == writer:
                    return
                # S3 may refuse both of two that write at the same moment (409): then there is nothing.
                if found is not None or self._clock.monotonic() > until:
                    raise
            except Unavailable as error:
                if error.retry_after is None or self._clock.monotonic() > until:
                    raise
            pause(0.25)

    def create_from(self, key: str, path: Path) -> None:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise Invalid(
                f"{path} has {size} bytes, expected at most {LARGEST_BYTES}: S3 copies no more in one request"
            )
        if size <= LARGE_BYTES:
            self.create(key, path.read_bytes())
            return
        if self.size(key) is not None:
            raise Conflict(f"object store {self.url}: can't create {key}: it exists already")
        staged = f"{STAGING}/{secrets.token_hex(12)}"
        with self._translated(f"create {key}", writes=True):
            try:
                self._stage(staged, path)
                self._copy(staged, key)
            finally:
                self._discard(staged)
                self._sweep()

    def get(self, key: str) -> bytes:
        with self._translated(f"read {key}", missing=key):
            return bytes(obstore.get(self._store, key).bytes())

    def get_to(self, key: str, path: Path) -> None:
        size = self.size(key)
        if size is None:
            raise NotFound(f"object store {self.url}: there is no {key}")
        with self._translated(f"copy {key} to {path}", missing=key):
            fetch(path, self._pieces(key, size))

    def size(self, key: str) -> int | None:
        try:
            with self._translated(f"look at {key}", missing=key):
                return int(obstore.head(self._store, key)["size"])
        except NotFound:
            self._check_bucket(f"look at {key}")
            return None

    def list(self, prefix: str, after: str = "") -> list[str]:
        return [each.key for each in self.entries(prefix, after)]

    def entries(self, prefix: str, after: str = "") -> Sequence[Entry]:
        with self._translated(f"list {prefix}"):
            return listed(self._store, prefix, after)

    @effect("bucket.delete")
    def delete(self, key: str) -> None:
        with self._translated(f"delete {key}", missing=key, writes=True), suppress(NotFound):
            obstore.delete(self._store, key)

    def check_conditions(self) -> None:
        """Nothing, where *create if absent* holds here: tried with an object that is gone afterwards. Raises `Invalid`
        for a store that overwrites, `Unavailable`."""
        probe, other = (f"{STAGING}/probe-{secrets.token_hex(6)}" for _ in range(2))
        try:
            self.create(probe, b"first")
            refused = [self._refuses(lambda: self._put(probe, b"second", "nobody"))]
            self.create(other, b"other")
            refused.append(self._refuses(lambda: self._copy(other, probe)))
            if not all(refused) or self.get(probe) != b"first":
                raise Invalid(
                    f"object store {self.url}: it overwrites what exists, though asked not to (If-None-Match: *), so "
                    "that two who release at the same time would lose one release",
                    hint="use Amazon S3, or a store or version with conditional writes: docs/reference/store.md",
                )
        finally:
            for each in (probe, other):
                with suppress(HomeportError):
                    self.delete(each)

    # --- inside -------------------------------------------------------------------------------------------------------

    @effect("bucket.put")
    def _put(self, key: str, data: bytes, writer: str) -> None:
        obstore.put(self._once, key, data, mode="create", use_multipart=False, attributes={WRITER: writer})

    @effect("bucket.stage")
    def _stage(self, staged: str, path: Path) -> None:
        obstore.put(self._store, staged, path, use_multipart=True)

    @effect("bucket.copy")
    def _copy(self, staged: str, key: str) -> None:
        obstore.copy(self._store, staged, key, overwrite=False)

    @effect("bucket.discard")
    def _discard(self, staged: str) -> None:
        with suppress(BaseError, OSError):
            obstore.delete(self._once, staged)

    def _sweep(self) -> None:
        """What killed processes left in staging is gone. Something younger may be another process at work."""
        before = self._clock.now() - STALE
        with suppress(BaseError, OSError):
            for each in [each for chunk in obstore.list(self._once, prefix=STAGING) for each in chunk]:
                if each["last_modified"] < before:
                    self._discard(each["path"])

    def _refuses(self, write: Any) -> bool:
        try:
            with self._translated("try whether it keeps what exists", writes=True):
                write()
        except Conflict:
            return True
        return False

    def _writer(self, key: str) -> str | None:
        """Who wrote the object; empty: not said; None: there is none."""
        try:
            with self._translated(f"look at {key}", missing=key):
                found = obstore.get(self._store, key, options={"head": True}).attributes
        except NotFound:
            return None
        return str(found.get(WRITER, ""))

    def _pieces(self, key: str, size: int) -> Iterator[bytes]:
        for start in range(0, size, LARGE_BYTES):
            yield bytes(obstore.get_range(self._store, key, start=start, end=min(size, start + LARGE_BYTES)))

    def _check_bucket(self, doing: str) -> None:
        """Raises `Unavailable` where there is no bucket: the answer to HEAD doesn't say what is missing."""
        with self._translated(doing):
            obstore.list_with_delimiter(self._store, prefix=STAGING)

    @contextmanager
    def _translated(self, doing: str, *, missing: str | None = None, writes: bool = False) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            if self._trouble:
                raise self._trouble[0] from error
            raise translated(
                error,
                store=self.url,
                bucket=self.bucket,
                doing=doing,
                missing=missing,
                origin=self._access.origin,
                writes=writes,
            ) from error


def _split(url: str) -> tuple[str, str]:
    """(bucket, prefix without slashes at its ends)."""
    parts = urlsplit(url)
    prefix = unquote(parts.path).strip("/")
    if not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc or "//" in prefix:
        raise Invalid(f"object store {url!r}: expected s3://bucket or s3://bucket/prefix")
    return parts.netloc, prefix
