"""Reading tar archives with a filter of our own: Debian's Python 3.11.2 has none, and those of later ones refuse what
every virtualenv holds, a link to the interpreter of the image.

Called by `source` (exports, tarballs) and by `instance.unpack` (layers).
"""

import hashlib
import os
import posixpath
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

import zstandard

from homeport.errors import Failed, Invalid, Unavailable
from homeport.system.effect import effect

IMAGE = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Top-level directories of the image that links may point into."""
APP = "/app"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
CHUNK = 1 << 20

Kind = Literal["directory", "file", "link"]


def link_problem(name: str, target: str) -> str | None:
    """Why the symlink `name` (relative to the layer's root) may not point to `target`; None if it may. Steps up stand
    only at the beginning of a target: after the name of another link they could lead anywhere."""
    parts = target.split("/")
    if target.startswith("/"):
        if ".." in parts or next((each for each in parts if each), "") not in IMAGE:
            return f"{name} -> {target} leaves the app"
        return None
    ups = 0
    while ups < len(parts) and parts[ups] in ("..", "."):
        ups += 1
    if ".." in parts[ups:]:
        return f"{name} -> {target} steps up after a name"
    if not target or parts[:ups].count("..") > name.count("/"):
        return f"{name} -> {target} leaves the app"
    return None


def relative_target(name: str, target: str) -> str:
    """The target of a symlink, relative if it says `/app/…`, so that it means the same wherever the layer lies."""
    if target != APP and not target.startswith(APP + "/"):
        return target
    inside = posixpath.normpath(target)
    if inside != APP and not inside.startswith(APP + "/"):
        return target
    return posixpath.relpath(inside, posixpath.dirname(posixpath.join(APP, name)))


def verify(path: Path, sha256: str) -> None:
    """Nothing, if the file has that digest. Raises `Failed` if not, `Unavailable` where it can't be read."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unavailable(f"can't read layer {path}: {error.strerror}") from error
    if found != sha256:
        raise Failed(
            f"layer {path.name} has digest {found}, expected {sha256}: it was changed or damaged",
            hint="deploy a release that was built anew: homeport deploy",
        )


@contextmanager
def open_archive(path: Path) -> Iterator[tarfile.TarFile]:
    """The archive (plain, gzip, bzip2, xz or zstd), to be read once from front to back. Raises `Invalid` where it is
    none, also when that shows only in the middle; `Unavailable` where it can't be read."""
    try:
        with path.open("rb") as file:
            zstd = file.read(4) == ZSTD_MAGIC
            file.seek(0)
            stream: IO[bytes] = zstandard.ZstdDecompressor().stream_reader(file) if zstd else file
            with tarfile.open(fileobj=stream, mode="r|" if zstd else "r|*", errorlevel=2) as archive:
                yield archive
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise Invalid(f"{path} isn't a whole tar archive: {error}") from error
    except OSError as error:
        # gzip and lzma report damage as OSError without a number
        if error.errno is None:
            raise Invalid(f"{path} isn't a whole tar archive: {error}") from error
        raise Unavailable(f"can't read {path}: {error.strerror}", hint=f"df -h {path.parent}") from error


def extract(
    archive: tarfile.TarFile, destination: Path, *, owner: int | None = None, what: str = "the archive"
) -> None:
    """Everything in the archive lies under `destination`, an existing directory that nobody else writes to; modes are
    0644 and 0755, times the archive's, owned by uid and gid `owner`. Raises `Invalid` that names every member that it
    refused (then what is there isn't complete), OSError."""
    writer = _Writer(destination, owner)
    for member in archive:
        writer.add(archive, member)
    if writer.problems:
        raise Invalid(
            f"{what} has {_count(len(writer.problems))} that can't be unpacked: {writer.problems[0]}",
            details=tuple(writer.problems[:50]),
        )


def _count(number: int) -> str:
    return "1 member" if number == 1 else f"{number} members"


class _Writer:
    """Writes members one by one. Knows what it wrote, so that nothing is ever written through a link."""

    def __init__(self, root: Path, owner: int | None) -> None:
        self.root = root
        self.owner = owner
        self.kinds: dict[str, Kind] = {"": "directory"}
        self.problems: list[str] = []

    def add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = self._clean(member.name)
        if name is None:
            self.problems.append(f"{member.name!r} leaves the app")
        elif not self._make_parents(posixpath.dirname(name)):
            self.problems.append(f"{name} lies below something that isn't a directory")
        elif member.isdir():
            self._add_directory(name)
        elif name in self.kinds:
            self.problems.append(f"{name} is there twice")
        elif member.issym():
            self._add_link(name, relative_target(name, member.linkname))
        elif member.islnk():
            self._add_hard_link(name, member.linkname)
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None, "a regular member has content"
            self._note(name, "file")
            _write_file(self.root / name, content, 0o755 if member.mode & 0o100 else 0o644, member.mtime, self.owner)
        else:
            self.problems.append(f"{name} is a device or another special file")

    def _clean(self, name: str) -> str | None:
        parts = [each for each in name.split("/") if each not in ("", ".")]
        if name.startswith("/") or ".." in parts or "\0" in name:
            return None
        return "/".join(parts)

    def _make_parents(self, name: str) -> bool:
        if name not in self.kinds:
            if not self._make_parents(posixpath.dirname(name)):
                return False
            self._add_directory(name)
        return self.kinds[name] == "directory"

    def _add_directory(self, name: str) -> None:
        if name not in self.kinds:
            self._note(name, "directory")
            _make_directory(self.root / name, self.owner)
        elif self.kinds[name] != "directory":
            self.problems.append(f"{name} is there twice")

    def _add_link(self, name: str, target: str) -> None:
        problem = link_problem(name, target)
        if problem:
            self.problems.append(problem)
        self._note(name, "link")
        if not problem:
            _make_link(self.root / name, target, self.owner)

    def _add_hard_link(self, name: str, target: str) -> None:
        clean = self._clean(target)
        if clean is None or self.kinds.get(clean) != "file":
            self.problems.append(f"{name} is a hard link to {target}, which isn't a file of the archive")
            return
        self._note(name, "file")
        _make_hard_link(self.root / clean, self.root / name)

    def _note(self, name: str, kind: Kind) -> None:
        self.kinds[name] = kind


@effect("archive.write_file")
def _write_file(path: Path, content: IO[bytes], mode: int, mtime: float, owner: int | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        while chunk := content.read(CHUNK):
            file.write(chunk)
        file.flush()
        if owner is not None:
            os.fchown(handle, owner, owner)
        os.fchmod(handle, mode)
        os.utime(handle, (mtime, mtime))


@effect("archive.make_directory")
def _make_directory(path: Path, owner: int | None) -> None:
    path.mkdir()
    path.chmod(0o755)
    if owner is not None:
        os.chown(path, owner, owner, follow_symlinks=False)


@effect("archive.make_link")
def _make_link(path: Path, target: str, owner: int | None) -> None:
    path.symlink_to(target)
    if owner is not None:
        os.chown(path, owner, owner, follow_symlinks=False)


@effect("archive.make_hard_link")
def _make_hard_link(existing: Path, path: Path) -> None:
    os.link(existing, path, follow_symlinks=False)
