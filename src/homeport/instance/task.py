"""A one-off process of a release, such as a release task, in a sandbox of its own. Called by the local engine's
launcher and by the agent.
"""

import os
import signal
from pathlib import Path

from msgspec.structs import replace

from homeport.instance.assemble import Assembly
from homeport.instance.environment import PRIVATE
from homeport.ports.sandbox import Mount, SandboxSpec
from homeport.system import process
from homeport.system.effect import effect

NAME = "release"
"""Of the one process in its assembly, and so of its log."""
NEVER_STARTED = 125
"""Exit code of a task whose sandbox couldn't be started."""
_LOGGER = "svlogd"
_EXIT = "/run/homeport/task"
_LINE = '"$1/once" 2>&1 | svlogd -ttt "$2"; echo "${PIPESTATUS[0]}" >"$3/status.new"; mv "$3/status.new" "$3/status"'


def one_off(spec: SandboxSpec, assembly: Assembly, exit_directory: Path) -> SandboxSpec:
    """The assembly's sandbox with its one process run once, unsupervised. Its exit code will lie in `exit_directory`,
    which is made."""
    _make_writable(exit_directory, assembly.uid)
    into = next(mount.target for mount in spec.mounts if mount.source == assembly.logs / NAME)
    return replace(
        spec,
        command=("/bin/bash", "-c", _LINE, "task", f"{PRIVATE}/service/{NAME}", into, _EXIT),
        mounts=(*spec.mounts, Mount(kind="writable", source=exit_directory, target=_EXIT)),
    )


def exit_code(exit_directory: Path) -> int | None:
    """None: it was killed, or hasn't ended."""
    try:
        return int((exit_directory / "status").read_text())
    except (OSError, ValueError):
        return None


def tell_to_end(pid: int) -> None:
    """TERM to all that runs in the sandbox of this pid 1 but for that itself, which can't hear it, and for who writes
    the log."""
    for each in process.descendants(pid):
        started = process.start_time(each)
        if started is not None and process.name(each) != _LOGGER:
            process.send(each, started, signal.SIGTERM)


@effect("task.make_directory")
def _make_writable(path: Path, owner: int | None) -> None:
    """An empty directory that the task can write."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    (path / "status").unlink(missing_ok=True)
    if owner is not None:
        os.chown(path, owner, owner)
