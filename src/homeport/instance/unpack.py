"""Layers on a machine: verified, and unpacked once. Called by the engine and the agent, outside the sandbox."""

import ctypes
import os
import re
import secrets
import shutil
from pathlib import Path

from homeport.errors import Unavailable
from homeport.releases.archive import extract, open_archive
from homeport.releases.archive import verify as verify
from homeport.system.disk import make_room
from homeport.system.effect import effect

_PART = re.compile(r"\.(?P<name>.+)\.(?P<pid>[0-9]+)-[0-9a-f]{12}\.part")


def unpack(archive: Path, destination: Path, *, owner: int | None = None, durable: bool = True) -> None:
    """`destination` is a directory with all that the archive holds; one that was there before is complete and is left
    alone. `durable`: it survives a loss of power right afterwards. Raises `Invalid` that names what the filter
    refused, `Unavailable` (disk full, …); then there is no destination."""
    if destination.is_dir():
        return
    part = destination.with_name(f".{destination.name}.{os.getpid()}-{secrets.token_hex(6)}.part")
    try:
        _sweep(destination)
        _make(part, owner)
        with open_archive(archive) as members:
            extract(members, part, owner=owner)
        _place(part, destination, durable)
    except OSError as error:
        raise Unavailable(
            f"can't unpack {archive.name} to {destination}: {error.strerror}", hint=make_room(destination.parent)
        ) from error
    finally:
        _remove(part)


@effect("unpack.make")
def _make(part: Path, owner: int | None) -> None:
    part.mkdir(parents=True)
    part.chmod(0o755)
    if owner is not None:
        os.chown(part, owner, owner)


@effect("unpack.place")
def _place(part: Path, destination: Path, durable: bool) -> None:
    """Whoever comes second to the same destination leaves what is there."""
    if durable:
        _sync_filesystem(part)
    try:
        part.rename(destination)
    except OSError:
        if not destination.is_dir():
            raise
    if durable:
        _sync_filesystem(destination)


def _sync_filesystem(path: Path) -> None:
    """One call for thousands of files. Its own failure is that of the disk, which the next read will show."""
    handle = os.open(path, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


@effect("unpack.remove")
def _remove(part: Path) -> None:
    shutil.rmtree(part, ignore_errors=True)


def _sweep(destination: Path) -> None:
    """What processes that were killed left of this destination is gone."""
    if not destination.parent.is_dir():
        return
    for path in destination.parent.iterdir():
        match = _PART.fullmatch(path.name)
        if match and match["name"] == destination.name and not Path("/proc", match["pid"]).exists():
            _remove(path)
