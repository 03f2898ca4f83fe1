"""A directory of code while it is built: its files as detection reads them, digests, owner, removal. Called by
`build`."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from homeport.errors import Invalid
from homeport.system.effect import effect


class Tree(Mapping[str, str]):
    """Path → text (UTF-8 with surrogate escapes) of every file below the root, read when asked for. Links to
    directories aren't followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __getitem__(self, path: str) -> str:
        inside = (self.root / path).resolve()
        if not inside.is_relative_to(self.root.resolve()) or not inside.is_file():
            raise KeyError(path)
        return inside.read_bytes().decode("utf-8", "surrogateescape")

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (self.root / path).is_file()

    def __iter__(self) -> Iterator[str]:
        for directory, directories, names in os.walk(self.root):
            directories.sort()
            for name in sorted(names):
                path = Path(directory, name)
                if path.is_file():
                    yield str(path.relative_to(self.root))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def digest(self, path: str) -> str:
        """sha256 over the file's content, or over names and contents of all files in the directory; "" if neither."""
        if path in self:
            return hashlib.sha256(self[path].encode("utf-8", "surrogateescape")).hexdigest()
        whole = hashlib.sha256()
        inner = Tree(self.root / path)
        for name in inner:
            content = inner[name].encode("utf-8", "surrogateescape") if name in inner else b""
            whole.update(os.fsencode(f"{name}\0{hashlib.sha256(content).hexdigest()}\n"))
        return whole.hexdigest() if inner.root.is_dir() else ""


@effect("tree.chown")
def give_to(root: Path, uid: int) -> None:
    """Everything below the root, and the root, belongs to uid and gid `uid`."""
    os.chown(root, uid, uid)
    for directory, directories, names in os.walk(root):
        for name in (*directories, *names):
            os.chown(Path(directory, name), uid, uid, follow_symlinks=False)


@effect("tree.make_mount_points")
def make_mount_points(root: Path, paths: tuple[str, ...]) -> None:
    """Empty directories where layers will be bound, whether they are now or not: the tree is the same either way.
    Raises `Invalid` where a link or a file stands in the way."""
    for path in paths:
        at = root
        for part in Path(path).parts:
            at = at / part
            if at.is_symlink() or (at.exists() and not at.is_dir()):
                raise Invalid(f"{at.relative_to(root)} isn't a directory, but dependencies belong at {path}")
            at.mkdir(exist_ok=True)


@effect("tree.write")
def write(root: Path, path: str, text: str) -> None:
    """A file of this text is at `path`, whatever stood there or above it."""
    at = root
    for part in Path(path).parts:
        at = at / part
        if at.is_symlink() or at.is_file():
            at.unlink()
        elif at.is_dir() and at == root / path:
            shutil.rmtree(at)
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(text, "utf-8")


@effect("tree.remove")
def remove(root: Path) -> None:
    """The directory is gone, also where its owner made parts of it read-only (Go's module cache does)."""
    for directory, directories, _ in os.walk(root):
        for name in directories:
            path = Path(directory, name)
            if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o700 != 0o700:
                path.chmod(0o700)
    shutil.rmtree(root, ignore_errors=True)
