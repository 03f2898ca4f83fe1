"""Where a command works: which platform file, environment, app and person. Used by every noun."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli.client import Client
from homeport.cli.door import SocketDoor
from homeport.errors import HomeportError, Invalid, NotFound
from homeport.system.home import Home

if TYPE_CHECKING:
    from homeport.plan.platform import PlatformFile
    from homeport.plan.platform_name import Names

FILE = "homeport.toml"


def home() -> Home:
    """From the environment; its directories needn't exist."""
    from homeport.wiring import storage

    return storage.home(create=False)


def choose(directory: Path, environment: str | None) -> None:
    """What this run of the program does, it does for this environment's engine."""
    path = find_file(directory)
    if path is None or b"aws" not in path.read_bytes():
        return  # so that nobody waits for what only concerns AWS
    from homeport.cli import remote

    remote.choose(directory, environment)


def client() -> Client:
    from homeport.cli import remote

    return remote.client() or Client(SocketDoor(home().socket))


def begin_engine() -> None:
    """The engine starts, if it didn't run: for a command that calls `begun_engine` later on. Raises `Conflict` where
    one of another version runs."""
    from homeport import daemon
    from homeport.cli import remote
    from homeport.wiring import storage

    if remote.chosen() is not None:
        return
    found = storage.home()
    if daemon.running(found):
        Client(SocketDoor(found.socket)).environments()
    else:
        daemon.begin(found)


def begun_engine() -> Client:
    """A client of the engine that has begun to start, once it answers."""
    from homeport import daemon
    from homeport.cli import remote

    if (inside := remote.client(drives=True)) is not None:
        return inside
    found = home()
    daemon.wait(found)
    return Client(SocketDoor(found.socket))


def running_engine() -> Client:
    """A client of the engine, which is started if it didn't run."""
    from homeport import daemon
    from homeport.cli import remote
    from homeport.wiring import storage

    if (inside := remote.client(drives=True)) is not None:
        return inside
    found = storage.home()
    daemon.start(found)
    return Client(SocketDoor(found.socket))


def stop_if_empty(api: Client) -> bool:
    """Whether the engine was stopped, because nothing is up any more."""
    from homeport import daemon
    from homeport.cli import remote
    from homeport.wiring import storage

    if remote.chosen() is not None:
        return False
    try:
        if api.environments():
            return False
    except HomeportError:
        return False
    daemon.stop(storage.home())
    return True


def find_file(directory: Path) -> Path | None:
    """The nearest homeport.toml, from `directory` upwards, not beyond the top of its git repository."""
    start = directory.resolve()
    for each in (start, *start.parents):
        if (each / FILE).is_file():
            return each / FILE
        if (each / ".git").exists():
            break
    return None


def platform_here(directory: Path) -> "PlatformFile | None":
    """The platform that the nearest file describes; None: there is no file. Raises `Invalid`."""
    path = find_file(directory)
    if path is None:
        return None
    from homeport.plan.platform import parse

    return parse(read(path), file=shown(path))


def names_here(directory: Path) -> "Names | None":
    """The names in the nearest file; None: there is no file. Raises `Invalid` where it has mistakes among them."""
    path = find_file(directory)
    if path is None:
        return None
    from homeport.plan.platform_name import Names, names

    found = names(read(path), file=shown(path))
    if found is not None:
        return found
    from homeport.plan.platform import parse

    platform = parse(read(path), file=shown(path))
    apps = tuple(each.name for each in platform.apps)
    return Names(
        file=platform.file,
        name=platform.name,
        apps=apps,
        environments=platform.environments,
        default=platform.default,
    )


def read(path: Path) -> str:
    """The file's text. Raises `Invalid`."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"can't read {path}: {error}") from error


def shown(path: Path) -> str:
    """The path as people would type it here."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):
        return str(path)
    return relative if not relative.startswith("../../..") else str(path)


def environment_id(directory: Path, asked: str | None, api: Client) -> str:
    """`<platform>/<environment>` that a command about something running means. Without a platform file here: the one
    that is up. Raises `NotFound`, `Invalid`, and what the API raises."""
    if asked and "/" in asked:
        return asked
    platform = names_here(directory)
    if platform is not None:
        from homeport.plan.platform_name import environment_name

        return f"{platform.name}/{environment_name(platform, asked)}"
    up = [each.environment for each in api.environments() if asked is None or each.name == asked]
    if len(up) == 1:
        return up[0]
    if not up:
        what = "no environment is up" if asked is None else f"no environment {asked!r} is up"
        raise NotFound(f"{what}, and there is no {FILE} here", hint="homeport up   # in the directory of an app")
    raise Invalid(f"{len(up)} environments are up: {', '.join(up)}", hint=f"say which: -e {up[0]}")


def stored_environment(directory: Path, asked: str | None) -> str:
    """As `environment_id`, for commands about what is stored: only with a platform file here, or named in full."""
    if asked and "/" in asked:
        return asked
    platform = names_here(directory)
    if platform is None:
        raise Invalid(
            f"no {FILE} in {directory.resolve()} or above",
            hint="homeport init, or -C <the app's directory>, or -e platform/environment",
        )
    from homeport.plan.platform_name import environment_name

    return f"{platform.name}/{environment_name(platform, asked)}"


def app_name(directory: Path, environment: str, asked: str | None) -> str:
    """The app that a command about stored things means: `asked`, the platform file's only one, else the one called
    like the platform. Raises `Invalid` where the file has several, `NotFound` for one that it doesn't have."""
    platform = names_here(directory)
    if platform is None or platform.name != environment.partition("/")[0]:
        return environment.partition("/")[0] if asked is None else asked
    names = platform.apps
    if asked is not None:
        from homeport.plan.mistake import instead

        if asked not in names:
            raise NotFound(f"no app {asked!r} in {platform.file}{instead(asked, names)}")
        return asked
    if len(names) == 1:
        return names[0]
    raise Invalid(f"{platform.file} has {len(names)} apps: {', '.join(names)}", hint=f"say which: --app {names[0]}")


def person(directory: Path) -> str:
    """Who does this: git's user.name, else login@host."""
    try:
        import subprocess  # for this only, and most commands don't ask

        done = subprocess.run(
            ("git", "-C", str(directory), "config", "user.name"), capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    except OSError:
        pass
    try:
        import getpass

        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return f"{login}@{socket.gethostname()}"
