"""Node's modules while an app is built: found, kept for the next build, and looked at for changes. Called by `build`.

A build script needs what only developers need, and may write among it (caches, generated clients). So it gets a copy of
its own of what was installed; what was installed is kept, since to copy it is quicker than to install it again.
"""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from homeport.errors import Unavailable
from homeport.releases import tree
from homeport.system.effect import effect

KEPT = 2
"""Trees per app: one for the branch at work, one for the other."""
SCRATCH = frozenset((".cache", ".tmp", ".vite", ".vite-temp", ".package-lock.json"))
"""At the top of node_modules: what tools write there for their own next run."""


class Kept:
    """Trees of one app, each by the key of what it was installed from. A tree is whole or it isn't there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copy(self, key: str, target: Path) -> bool:
        """Whether `target` is a copy of the tree; else there is none, or it went while it was copied."""
        place = self.root / key
        if place.is_dir():
            with suppress(FileNotFoundError):
                _touch(place)
            if _copy(place, target):
                return True
            tree.remove(target)
        return False

    def keep(self, key: str, source: Path) -> None:
        """A copy of `source` is kept, where there is room, and the oldest of the others is gone."""
        part = self.root / f".{key}.{os.getpid()}"
        if _copy(source, part):
            _place(part, self.root / key)
        tree.remove(part)
        kept = sorted(self.root.iterdir(), key=_used_at, reverse=True) if self.root.is_dir() else []
        for each in kept[KEPT:]:
            tree.remove(each)


def find(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Relative paths of all directories of these names, such as those of workspaces; none inside of another."""
    return tuple(sorted(_find(root, names)))


def _find(root: Path, names: Sequence[str]) -> Iterator[str]:
    for directory, directories, _ in os.walk(root):
        found = [each for each in directories if each in names]
        for each in found:
            if not Path(directory, each).is_symlink():
                yield str(Path(directory, each).relative_to(root))
        directories[:] = [each for each in directories if each not in found]


@effect("modules.move")
def move(paths: Sequence[str], root: Path, target: Path) -> None:
    """The directories at these paths below `root` are below `target` now, in place of what was there."""
    for path in paths:
        place = target / path
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.is_dir():
            tree.remove(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        (root / path).rename(place)


@effect("modules.mark")
def mark(path: Path) -> int:
    """A point in time, for `changed`."""
    path.touch()
    return path.stat().st_ctime_ns


def changed(root: Path, paths: Sequence[str], since: int) -> list[str]:
    """What in the directories at these paths has come or changed after the mark, but for tools' own scratch. Times of
    change can't be set by anybody."""
    return [f"{path}/{name}" for path in paths for name in _changed(root / path, since)]


def _changed(modules: Path, since: int) -> Iterator[str]:
    for entry in os.scandir(modules):
        if entry.name not in SCRATCH and _newer(Path(entry.path), since):
            yield entry.name


def _newer(path: Path, since: int) -> bool:
    status = path.lstat()
    if status.st_ctime_ns > since:
        return True
    return any(
        os.lstat(os.path.join(directory, name)).st_ctime_ns > since
        for directory, directories, names in os.walk(path)
        for name in (*directories, *names)
    )


def drop_scratch(root: Path, paths: Sequence[str]) -> None:
    for path in paths:
        for name in SCRATCH - {".package-lock.json"}:
            tree.remove(root / path / name)


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


@effect("modules.touch")
def _touch(path: Path) -> None:
    os.utime(path)


@effect("modules.copy")
def _copy(source: Path, target: Path) -> bool:
    """Whether it is whole: with a full disk, or a source that goes meanwhile, it isn't."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = ("cp", "-a", "--reflink=auto", "--", str(source), str(target))
    try:
        done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        raise Unavailable(f"can't copy {source}: {error.strerror}") from error
    return done.returncode == 0


@effect("modules.place")
def _place(part: Path, place: Path) -> None:
    """Whoever comes second to the same place leaves what is there."""
    try:
        part.rename(place)
    except OSError:
        if not place.is_dir():
            raise
