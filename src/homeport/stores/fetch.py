"""A file that is there whole or not at all, from pieces as they come. Called by the object stores' `get_to`."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from homeport.system.effect import effect


def fetch(path: Path, pieces: Iterable[bytes]) -> None:
    """A new file at `path`, durable. Raises OSError, and whatever `pieces` raises; then there is none."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        _write(part, path, pieces)
    except BaseException:
        discard(part)
        raise


@effect("object.fetch")
def _write(part: Path, path: Path, pieces: Iterable[bytes]) -> None:
    with part.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


@effect("object.discard")
def discard(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
