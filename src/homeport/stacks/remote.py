"""What templates are composed of that lies elsewhere, at https:// and s3://. Called by `source`.

`…#sha256=<64 hex digits>` pins the content: anything else is refused, and what was fetched once is kept under its
digest and not asked for again. Without a pin it is fetched once by each run.
"""

import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from homeport.errors import HomeportError, Invalid, NotFound, Unavailable
from homeport.system.effect import effect

SCHEMES = ("https://", "s3://")
LARGEST_BYTES = 50_000_000
FETCH_SECONDS = 30
PIN = re.compile(r"sha256=([0-9a-f]{64})")


class Remote:
    """`kept`: the directory of what was pinned; None: nothing is kept."""

    def __init__(self, kept: Path | None = None) -> None:
        self._directory = kept

    def read(self, url: str, by: str) -> bytes:
        """`by`: begins messages. Raises `NotFound`, `Unavailable`, and `Invalid` for what is too large, or isn't what
        was pinned."""
        where, _, said = url.partition("#")
        if not said:
            return _fetched(where, by)
        pin = PIN.fullmatch(said)
        if pin is None:
            raise Invalid(f"{by}: {url}: expected #sha256= and 64 hexadecimal digits, found #{said}")
        found = self._known(pin[1])
        if found is None:
            found = _fetched(where, by)
            digest = hashlib.sha256(found).hexdigest()
            if digest != pin[1]:
                raise Invalid(
                    f"{by}: {where} isn't what was pinned: its SHA-256 is {digest}",
                    hint=f"read what has changed, then: {where}#sha256={digest}",
                )
            if self._directory is not None:
                _keep(self._directory / digest, found)
        return found

    def _known(self, digest: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            data = (self._directory / digest).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None


@effect("template.keep")
def _keep(path: Path, data: bytes) -> None:
    """It is only there to save time: that it can't be written is no error."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        for directory in (path.parent.parent, path.parent):  # nothing else may have needed the home so far
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)


def _fetched(url: str, by: str) -> bytes:
    found = _from_bucket(url, by) if url.startswith("s3://") else _from_web(url, by)
    if len(found) > LARGEST_BYTES:
        raise Invalid(f"{by}: {url} has more than {LARGEST_BYTES:,} bytes")
    return found


def _from_bucket(url: str, by: str) -> bytes:
    from homeport.stores.objects import open_store  # heavier than most templates

    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise Invalid(f"{by}: expected s3://bucket/key, found {url!r}")
    try:
        store = open_store(f"s3://{bucket}")
        size = store.size(key)
        if size is None:
            raise NotFound(f"there is no {url}")
        return store.get(key) if size <= LARGEST_BYTES else bytes(LARGEST_BYTES + 1)
    except HomeportError as error:
        raise type(error)(f"{by}: {error.message}", hint=error.hint, details=error.details) from error


def _from_web(url: str, by: str) -> bytes:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:
            found: bytes = answer.read(LARGEST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise NotFound(f"{by}: {url}: {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        raise Unavailable(f"{by}: can't fetch {url}: {error}") from error
    return found
