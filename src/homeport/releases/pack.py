"""Packing a tree into a layer: the same tree gives the same bytes, wherever and whenever. Called by `build`."""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO

import zstandard
from msgspec import Struct

from homeport.errors import Invalid, Unavailable
from homeport.releases.archive import link_problem, relative_target
from homeport.system.disk import make_room
from homeport.system.effect import effect

LEVEL = 3
NOT_THE_APPS = ("homeport.toml", "Procfile")
"""Files that are Homeport's to read: a change in them changes nothing for what runs."""


class Packed(Struct, frozen=True, kw_only=True):
    """sha256 of the archive's bytes, and how many they are. `content`: digest of names, modes and bytes, without times,
    byte code and `NOT_THE_APPS`."""

    sha256: str
    size_bytes: int
    content: str


def pack(
    root: Path,
    archive: Path,
    *,
    modified_at: datetime,
    only: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Packed:
    """What lies under `root`, or of it the paths `only`, all but the paths `without`, as tar + zstd in the new file
    `archive`. Sorted; owner 0; modes 0644 and 0755, so no set-id bits; every time is `modified_at`. Raises `Invalid`
    that names links out of the tree and special files, `Unavailable` (disk full, …)."""
    members = list(_members(root, only, without))
    problems = [each for path, name in members if (each := _problem(path, name))]
    if problems:
        raise Invalid(f"what was built can't be packed: {problems[0]}", details=tuple(problems[:50]))
    try:
        return _write(archive, members, int(modified_at.timestamp()))
    except OSError as error:
        archive.unlink(missing_ok=True)
        raise Unavailable(f"can't pack {archive}: {error.strerror}", hint=make_room(archive.parent)) from error


@effect("pack.write")
def _write(archive: Path, members: list[tuple[Path, str]], mtime: int) -> Packed:
    with archive.open("xb") as file:
        digest, content = _Digest(file), hashlib.sha256()
        compressor = zstandard.ZstdCompressor(level=LEVEL)
        with compressor.stream_writer(digest, closefd=False) as stream:  # type: ignore[arg-type]
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
                for path, name in members:
                    info = _info(path, name)
                    if not (name in NOT_THE_APPS or "__pycache__" in name.split("/")):
                        _take(content, path, info)
                    info.mtime = mtime
                    _add(tar, path, info)
    return Packed(sha256=digest.sha256.hexdigest(), size_bytes=digest.size_bytes, content=content.hexdigest())


def _take(content: "hashlib._Hash", path: Path, info: tarfile.TarInfo) -> None:
    """Each member: a header of fixed shape with its size, then so many bytes."""
    name, link = os.fsencode(info.name), os.fsencode(info.linkname)
    content.update(b"%s %o %d %d %d\n%s%s" % (info.type, info.mode, len(name), len(link), info.size, name, link))
    if info.isreg():
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                content.update(piece)


def _info(path: Path, name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, relative_target(name, os.readlink(path))
    elif stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.mode, info.size = (0o755 if status.st_mode & 0o111 else 0o644), status.st_size
    return info


def _add(tar: tarfile.TarFile, path: Path, info: tarfile.TarInfo) -> None:
    if not info.isreg():
        tar.addfile(info)
        return
    with path.open("rb") as content:
        tar.addfile(info, content)


def _members(root: Path, only: tuple[str, ...], without: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """(path, name in the archive), sorted by bytes, parents first."""
    for start in sorted(only) or ("",):
        for parent in reversed(Path(start).parents[:-1]):
            yield root / parent, str(parent)
        path = root / start
        if start and (path.exists() or path.is_symlink()):
            yield path, start
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, f"{start}/" if start else "", without)


def _below(directory: Path, prefix: str, without: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for entry in sorted(os.scandir(directory), key=lambda each: os.fsencode(each.name)):
        name = prefix + entry.name
        if name in without:
            continue
        yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), f"{name}/", without)


def _problem(path: Path, name: str) -> str | None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return link_problem(name, relative_target(name, os.readlink(path)))
    if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        return None
    return f"{name} is a socket, a pipe or a device"


class _Digest:
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
