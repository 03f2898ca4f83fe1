"""The sandbox, as a port: where apps are built and run."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct


class Mount(Struct, frozen=True, kw_only=True):
    """`source` of the host at `target` inside. tmpfs: no source."""

    kind: Literal["read_only", "writable", "tmpfs"]
    target: str
    source: Path | None = None


class SandboxSpec(Struct, frozen=True, kw_only=True):
    """One process tree to run. Inside: the image's /usr and needed /etc, `mounts`, nothing else of the host."""

    command: tuple[str, ...]
    hostname: str
    mounts: tuple[Mount, ...] = ()
    files: dict[str, bytes] = {}
    """Path inside → content. Lies in memory private to the sandbox, never on the host's disk."""
    environment: dict[str, str] = {}
    """The whole environment of the first process."""
    directory: str = "/app"
    uid: int | None = None
    """Host uid (and gid) of everything inside. None: that of the caller; never 0."""
    memory_bytes: int | None = None
    nice: int = 0


class Sandbox(Protocol):
    def start(self, spec: SandboxSpec, *, info: Path, output: Path | None = None) -> int:
        """Host pid of the sandbox's pid 1, which is `spec.command`. Detached: it outlives the caller. `info` gets that
        pid as JSON (`{"child-pid": n}`) from bubblewrap itself, so that a caller killed in between can be succeeded.
        Standard output and error go to `output`, appended (None: nowhere). Raises `Unavailable`."""
        ...

    def run(
        self,
        spec: SandboxSpec,
        *,
        output: Callable[[bytes], None] | None = None,
        timeout: timedelta | None = None,
    ) -> int:
        """Exit status, after the tree has ended (128 + n for a signal). `output` gets standard output and error as they
        come. At `timeout` the whole tree is killed and 124 returned. The tree dies with the caller."""
        ...
