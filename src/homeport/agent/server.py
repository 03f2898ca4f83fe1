"""The server that the agent runs on: what it is, where things lie, and that one agent works on it at a time.

<directory>/         0700; default /var/lib/homeport-agent, for an ordinary user ~/.local/share/homeport-agent
    record.json      what serves, and what an agent that was killed was about to do (`agent.record`)
    lock             held by the agent that changes something
    layers/<sha256>/ unpacked layers of the releases in the record
    instances/<id>/  the instance: app/, home/, tmp/, service/, bwrap-<generation>.json, boot.log
    logs/<id>/       a directory per process
"""

import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

from homeport.errors import Conflict, Invalid, Unavailable
from homeport.plan.instance_file import InstanceFile, read
from homeport.ports.clock import Clock
from homeport.system.clock import pause
from homeport.system.effect import effect
from homeport.system.home import Home

FILE = "/etc/homeport/instance.toml"
FILE_VARIABLE = "HOMEPORT_INSTANCE_FILE"
_LOOK_SECONDS = 0.1


def stated(environ: Mapping[str, str], below: Mapping[str, str]) -> InstanceFile:
    """What the file and the variables say, and `below` them; the file needn't be there, unless a variable names it.
    Raises `Invalid`."""
    path = environ.get(FILE_VARIABLE)
    try:
        text = Path(path or FILE).read_text()
    except FileNotFoundError as error:
        if path:
            raise Invalid(f"{FILE_VARIABLE}={path}: there is no such file") from error
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"can't read {path or FILE}: {error}") from error
    return read(text, environ, path or FILE, below)


def place(said: InstanceFile, environ: Mapping[str, str]) -> Home:
    """Where the agent keeps things; nothing is made yet. Raises `Invalid` for the home of an engine."""
    if said.directory:
        root = Path(said.directory)
    elif os.getuid() == 0:
        root = Path("/var/lib/homeport-agent")
    else:
        data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".local/share")
        root = Path(data) / "homeport-agent"
    home = Home(root, root)
    if home.builds.exists():
        raise Invalid(f"{root} is the home of an engine", hint="HOMEPORT_DIRECTORY=<another directory>")
    return home


def identity(said: InstanceFile, home: Home) -> Path:
    """Path of what decrypts secrets."""
    return Path(said.identity) if said.identity else home.identity


def instance(said: InstanceFile) -> str:
    """The instance's id."""
    return said.instance or os.uname().nodename.partition(".")[0] or "instance"


@effect("agent.make_directories")
def make(home: Home) -> None:
    """The directories exist. Raises `Invalid`, `Unavailable`."""
    try:
        for path in (home.root, home.layers, home.instances, home.logs):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        info = home.root.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
            raise Invalid(f"{home.root} belongs to uid {info.st_uid}, expected {os.getuid()} (yourself)")
        home.root.chmod(0o700)
    except OSError as error:
        raise Unavailable(
            f"can't make {home.root}: {error.strerror}", hint="HOMEPORT_DIRECTORY=<a directory that you can write>"
        ) from error


@contextmanager
def alone(home: Home, patience: timedelta, clock: Clock, say: Callable[[str], None]) -> Iterator[None]:
    """No other agent changes anything here meanwhile; one that is at work is waited for. Raises `Conflict` where it
    takes longer than `patience`."""
    until = clock.monotonic() + patience.total_seconds()
    told = False
    with _opened(home.root / "lock") as file:
        while not _taken(file):
            file.seek(0)
            who = f"another homeport-agent (pid {file.read(20).strip() or 'unknown'}) is at work on {home.root}"
            if clock.monotonic() >= until:
                raise Conflict(who, hint="homeport-agent status; or wait longer for it: --wait 10m")
            if not told:
                say(f"{who}: waiting for it")
                told = True
            pause(_LOOK_SECONDS)
        _sign(file)
        yield


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@effect("agent.make_lock")
def _opened(path: Path) -> IO[str]:
    return path.open("a+")


@effect("agent.sign_lock")
def _sign(file: IO[str]) -> None:
    """Who holds it, for people."""
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
