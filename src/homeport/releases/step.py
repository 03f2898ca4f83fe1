"""Running the commands of a build, each in a sandbox of its own over the same tree. Called by `build`."""

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from homeport.errors import Failed
from homeport.ports.sandbox import Mount, Sandbox, SandboxSpec
from homeport.releases.recipe import Step
from homeport.releases.registry import HOME, Registry

APP = "/app"
CACHE = "/cache"
TAIL_LINES = 30
LONGEST_LINE = 400
"""Of a command's output, in characters: pip names every version that there ever was on one line."""
NICE = 10
"""Builds stand back behind what serves on the same machine."""


class Deadline(Struct, frozen=True, kw_only=True):
    """When a build must be done: `limit` from its beginning."""

    limit: timedelta
    at: float

    @classmethod
    def after(cls, limit: timedelta) -> "Deadline":
        return cls(limit=limit, at=time.monotonic() + limit.total_seconds())

    @property
    def left(self) -> timedelta:
        """At least a little: it is the sandbox that ends what runs."""
        return timedelta(seconds=max(0.01, self.at - time.monotonic()))

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self.at


class Workplace(Struct, frozen=True, kw_only=True):
    """Where steps run. `tree` is mounted at /app, `temporary` at /tmp, `cache` at /cache, all writable."""

    app: str
    tree: Path
    temporary: Path
    cache: Path
    registry: Registry
    mounts: tuple[Mount, ...]
    environment: dict[str, str]
    deadline: Deadline
    uid: int | None


def run(
    sandbox: Sandbox,
    workplace: Workplace,
    step: Step,
    progress: Callable[[str], None],
    output: Callable[[str], None],
) -> None:
    """Nothing, once the step has ended well. What is run goes to `progress`, each line that it writes to `output`.
    Raises `Failed` with the last lines, `Unavailable` without sandboxes."""
    lines = _Lines(output)
    progress(f"$ {step.text}")
    status = sandbox.run(spec_of(workplace, step), output=lines.take, timeout=workplace.deadline.left)
    lines.end()
    if status != 0 and workplace.deadline.passed:
        minutes = workplace.deadline.limit.total_seconds() / 60
        raise Failed(
            f"the build of {workplace.app} failed: it took more than {minutes:.3g} minutes; `{step.text}` was ended",
            hint='give it longer, in homeport.toml: [build] timeout = "1h"',
            details=tuple(lines.tail),
        )
    if status != 0:
        raise Failed(
            f"the build of {workplace.app} failed: `{step.text}` ended with {status}",
            hint=step.hint,
            details=tuple(lines.tail),
        )


def attempt(sandbox: Sandbox, workplace: Workplace, step: Step) -> None:
    """The step has ended, well or not, unheard: for what only makes the result better."""
    sandbox.run(spec_of(workplace, step), timeout=workplace.deadline.left)


def spec_of(workplace: Workplace, step: Step) -> SandboxSpec:
    """The sandbox of one step. What the user's settings say yields to where a build must put things, and that to what
    the app's own file says."""
    environment = workplace.registry.environment | _environment() | workplace.environment
    return SandboxSpec(
        command=step.command,
        hostname="build",
        directory=f"{APP}/{step.directory}".rstrip("/"),
        mounts=(
            Mount(kind="writable", source=workplace.tree, target=APP),
            Mount(kind="writable", source=workplace.temporary, target="/tmp"),
            Mount(kind="writable", source=workplace.cache, target=CACHE),
            *workplace.registry.mounts,
            *workplace.mounts,
        ),
        files=workplace.registry.files,
        environment=environment,
        uid=workplace.uid,
        nice=NICE,
    )


def _environment() -> dict[str, str]:
    return {
        "PATH": f"{APP}/.venv/bin:{APP}/node_modules/.bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "HOMEPORT_BUILD": "1",
        # compiled once, at the end, in the way that survives packing
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PIP_CACHE_DIR": f"{CACHE}/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "UV_CACHE_DIR": f"{CACHE}/uv",
        "UV_LINK_MODE": "copy",
        "UV_PROJECT_ENVIRONMENT": f"{APP}/.venv",
        "UV_PYTHON_DOWNLOADS": "never",
        "NPM_CONFIG_CACHE": f"{CACHE}/npm",
    }


class _Lines:
    """Cuts output into lines; keeps the last ones."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self.output = output
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""

    def take(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n")
        for line in whole:
            self._add(line)

    def end(self) -> None:
        if self._rest:
            self._add(self._rest)
        self._rest = b""

    def _add(self, line: bytes) -> None:
        # of a line that was drawn over itself, what it showed in the end
        text = line.rstrip(b"\r").rpartition(b"\r")[2].decode("utf-8", "replace").rstrip()
        shown = "".join(each if each.isprintable() or each == "\t" else "?" for each in text)
        if shown:
            cut = shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]} …"
            self.tail.append(cut)
            self.output(cut)
