"""Ties the engine to the machine's boot: the systemd unit as a file, and what systemd is told of it. Called by
`daemon`.

Without a systemd that runs here (a container, another init) the file is written all the same, and the commands that are
left to type are told.
"""

import os
import pwd
import subprocess
from pathlib import Path

from msgspec import Struct

from homeport.errors import Unavailable
from homeport.system import program, text_file
from homeport.system.effect import effect

MACHINE = Path("/etc/systemd/system")
RUNNING = Path("/run/systemd/system")
"""There while systemd is the machine's init (sd_booted(3))."""
LINGER = Path("/var/lib/systemd/linger")


class Installed(Struct, frozen=True, kw_only=True):
    """`changed`: the file wasn't like this before. `enabled`: systemd says that the unit starts at boot. `left`:
    commands that a person has yet to type for that."""

    unit: Path
    changed: bool
    enabled: bool
    left: tuple[str, ...] = ()


def unit_path(name: str) -> Path:
    """Where a unit of the caller's lies."""
    if os.getuid() == 0:
        return MACHINE / name
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path(os.environ.get("HOME") or Path.home()) / ".config")
    return Path(config) / "systemd/user" / name


def install(path: Path, text: str) -> Installed:
    """The unit lies at `path`, and systemd starts it at boot, where it runs. Harmless to repeat. Raises `Unavailable`
    where the file can't be written."""
    changed = text_file.read(path) != text
    if changed:
        try:
            write(path, text)
        except OSError as error:
            raise Unavailable(
                f"can't write {path}: {error.strerror}", hint="homeport engine install --print"
            ) from error
    left = _tell(("daemon-reload",), ("enable", path.name))
    return Installed(unit=path, changed=changed, enabled=not left, left=left + _linger())


def uninstall(path: Path) -> Installed:
    """The unit is gone. The engine runs on until it is stopped. Harmless to repeat. Raises `Unavailable`."""
    if not path.exists():
        return Installed(unit=path, changed=False, enabled=False)
    left = _tell(("disable", path.name))
    try:
        remove(path)
    except OSError as error:
        raise Unavailable(f"can't remove {path}: {error.strerror}") from error
    left += _tell(("daemon-reload",))
    return Installed(unit=path, changed=True, enabled=False, left=left)


def _systemctl() -> tuple[str, ...]:
    return ("systemctl",) if os.getuid() == 0 else ("systemctl", "--user")


def _tell(*commands: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the commands, from the first that failed on, that systemd hasn't heard."""
    path = program.find("systemctl")
    if path is not None and RUNNING.is_dir():
        while commands and order((path, *_systemctl()[1:], *commands[0])):
            commands = commands[1:]
    return tuple(" ".join((*_systemctl(), *each)) for each in commands)


def _linger() -> tuple[str, ...]:
    """A user's systemd starts at boot only for whoever lingers (loginctl(1))."""
    if os.getuid() == 0:
        return ()
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ()
    return () if (LINGER / name).exists() else (f"loginctl enable-linger {name}",)


@effect("boot.write_unit")
def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text_file.replace(path, text, 0o644)


@effect("boot.remove_unit")
def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


@effect("boot.tell_systemd")
def order(argv: tuple[str, ...]) -> bool:
    """Whether systemd has done it."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
