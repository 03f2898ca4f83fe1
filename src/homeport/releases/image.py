"""The image that apps are built and run on, locally: this machine's OS, libc and interpreters. Called by `build`."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from homeport.plan.interpreter import Interpreter
from homeport.system.effect import effect

_DIRECTORIES = (Path("/usr/bin"), Path("/usr/local/bin"))
_NAME = re.compile(r"python3\.[0-9]+")
_TELL_VERSION = "import sys; print(sys.version.split()[0])"


def interpreters() -> tuple[Interpreter, ...]:
    """Pythons that sandboxes have too, the system's own first, then the newest first."""
    found = {}
    for directory in _DIRECTORIES:
        for path in sorted(directory.glob("python3.*")):
            # a link out of /usr, as version managers make, leads nowhere inside a sandbox
            if _NAME.fullmatch(path.name) and path.resolve().is_relative_to("/usr") and path.name not in found:
                version = _ask(path, "-I", "-S", "-c", _TELL_VERSION)
                if version:
                    found[path.name] = Interpreter(version=version, path=str(path))
    own = Path("/usr/bin/python3").resolve().name
    order = sorted(found, key=lambda name: (name == own, _minor(name)), reverse=True)
    return tuple(found[name] for name in order)


def node_with_npm() -> Interpreter | None:
    """The Node that a sandbox finds, None where there is none, or no npm."""
    path, npm = (_on_path(name) for name in ("node", "npm"))
    version = _ask(path, "--version") if path and npm else None
    return Interpreter(version=version.removeprefix("v"), path=str(path)) if version else None


def _on_path(name: str) -> Path | None:
    """As in a sandbox: /usr/local first, and nothing that leads out of /usr."""
    there = (directory / name for directory in reversed(_DIRECTORIES))
    return next((path for path in there if path.exists() and path.resolve().is_relative_to("/usr")), None)


def image_id(available: Sequence[Interpreter], node: Interpreter | None = None) -> str:
    """Such as `debian-12 glibc-2.36 x86_64 python-3.11.2`: what was built on one image runs on its equals.
    `node`: where the app has to do with it."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    parts = [
        f"{system.get('ID', 'linux')}-{system.get('VERSION_ID', 'rolling')}",
        (os.confstr("CS_GNU_LIBC_VERSION") or "libc").replace(" ", "-"),
        os.uname().machine,
        *(f"python-{each.version}" for each in available),
        *([f"node-{node.version}"] if node else []),
    ]
    return " ".join(parts)


def _minor(name: str) -> int:
    return int(name.rpartition(".")[2])


@effect("image.ask_interpreter")
def _ask(path: Path, *arguments: str) -> str | None:
    """What it says; None: it doesn't run."""
    try:
        done = subprocess.run((str(path), *arguments), capture_output=True, check=False, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
