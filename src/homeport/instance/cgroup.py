"""Memory limits of whole process trees by cgroup (v1 or v2), where this machine lets us make one.

Called by `sandbox` (limit) and the engine (why did it end, removal). A tree is named by a key, so that a daemon that
was killed in between finds it again. Where no cgroup can be made, `sandbox` limits each process instead.
"""

import os
from pathlib import Path

from homeport.system.effect import effect

ROOT = Path("/sys/fs/cgroup")
_TREES = "homeport"


class Cgroups:
    """`kind` is "v1", "v2" or None: none can be made here."""

    def __init__(self, root: Path = ROOT) -> None:
        self.kind, parent = _place(root)
        self.trees = parent / f"{_TREES}-{os.getuid()}"
        if self.kind is not None and not self._usable():
            self.kind = None

    def _usable(self) -> bool:
        try:
            self._prepare()
        except OSError:
            return False
        _remove(self.trees)
        return True

    def _prepare(self) -> None:
        _make(self.trees)
        if self.kind == "v2":
            _write(self.trees / "cgroup.subtree_control", "+memory")

    def create(self, key: str, memory_bytes: int) -> Path:
        """Its `cgroup.procs`: a process that writes its pid there is limited with all its children. Raises OSError."""
        self._prepare()
        tree = self.trees / key
        _make(tree)
        if self.kind == "v1":
            _limit_v1(tree, memory_bytes)
        else:
            _write(tree / "memory.max", str(memory_bytes))
            if (tree / "memory.swap.max").exists():
                _write(tree / "memory.swap.max", "0")
        return tree / "cgroup.procs"

    def counter(self, key: str) -> Path:
        """The kernel's file in which a line `oom_kill <n>` counts the tree's processes killed for want of memory."""
        return self.trees / key / ("memory.oom_control" if self.kind == "v1" else "memory.events")

    def oom_kills(self, key: str) -> int:
        """How many of the tree's processes were killed for want of memory; 0 where that isn't known."""
        try:
            lines = self.counter(key).read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def remove(self, key: str) -> bool:
        """Whether it is gone: True also if it never was, False while processes live in it."""
        gone = _remove(self.trees / key)
        _remove(self.trees)
        return gone


def _place(root: Path) -> tuple[str | None, Path]:
    """Which kind has the memory controller, and the topmost directory of ours in which trees may be made."""
    try:
        own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    except OSError:
        return None, root
    if (root / "memory/memory.limit_in_bytes").exists():
        kind, top, mine = "v1", root / "memory", own.get("memory", "/")
    elif "memory" in _words(root / "cgroup.controllers"):
        kind, top, mine = "v2", root, own.get("", "/")
    else:
        return None, root
    path = top
    for part in ("", *mine.strip("/").split("/")):
        path = path / part
        if os.access(path, os.W_OK) and (kind == "v1" or "memory" in _words(path / "cgroup.subtree_control")):
            return kind, path
    return None, root


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _limit_v1(tree: Path, memory_bytes: int) -> None:
    # Lowering needs limit <= memsw at every step and raising the reverse, so one of the two orders succeeds.
    both = tree / "memory.memsw.limit_in_bytes"
    limit = tree / "memory.limit_in_bytes"
    order = (limit, both) if both.exists() else (limit,)
    try:
        for path in order:
            _write(path, str(memory_bytes))
    except OSError:
        for path in reversed(order):
            _write(path, str(memory_bytes))


@effect("cgroup.create")
def _make(tree: Path) -> None:
    # With parents: another sandbox's end may just have removed an empty one.
    tree.mkdir(exist_ok=True, parents=True)


@effect("cgroup.limit")
def _write(path: Path, value: str) -> None:
    path.write_text(value)


@effect("cgroup.remove")
def _remove(tree: Path) -> bool:
    try:
        tree.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
