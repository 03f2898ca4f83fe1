"""What a generation needs on disk, laid out in its instance's directory, and the sandbox that runs it.

Called by the engine before it starts a generation, while nothing of the instance runs. Repeatable: everything that an
interrupted call, or an earlier generation, left behind is made anew, except `home/` and the logs.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from homeport.errors import Unavailable
from homeport.instance.environment import PRIVATE, environment_files
from homeport.instance.service import BOOT, LogLimits, log_config, service_tree
from homeport.instance.turn import Turns
from homeport.ports.sandbox import Mount, SandboxSpec
from homeport.system.disk import is_full, make_room
from homeport.system.effect import effect

APP = "/app"
_SERVICE = f"{PRIVATE}/service"
_LOG = f"{PRIVATE}/log"
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Assembly(Struct, frozen=True, kw_only=True):
    """One generation. Paths are the host's unless said otherwise."""

    directory: Path
    """The instance's: gets app/, home/, tmp/, service/."""
    logs: Path
    """Gets a directory per process type."""
    source: Path
    """Directory with the unpacked source; copied."""
    dependencies: Mapping[str, Path]
    """Path inside the app's directory (`.venv`) → unpacked layer, bound read-only."""
    path: Sequence[str] = ()
    """Directories inside that go before PATH."""
    processes: Mapping[str, str]
    """Process type → command line."""
    ports: Mapping[str, int]
    environment: Sequence[tuple[str, Mapping[str, str | bytes]]]
    """Named layers; later ones win. `PORT` is added per process."""
    hostname: str
    hosts: str | None = None
    """Content of /etc/hosts; None: the sandbox's own."""
    uid: int | None = None
    memory_bytes: int | None = None
    nice: int = 0
    log_limits: LogLimits = LogLimits()
    turns: Turns = Turns()
    """In which order the processes begin and end."""


def service_directory(directory: Path) -> Path:
    """Where the services of the instance in `directory` are controlled from outside."""
    return directory / "service"


def assemble(assembly: Assembly) -> SandboxSpec:
    """The sandbox to start, its directories made. Raises `Unavailable` (no space, …), `Invalid` for the environment."""
    environment = environment_files(assembly.environment)
    tree = service_tree(
        assembly.processes,
        ports=assembly.ports,
        env_directories=environment.directories,
        exact=environment.exact,
        directory=APP,
        service_directory=_SERVICE,
        log_directory=_LOG,
        turns=assembly.turns,
        hosts=_hosts(assembly),
    )
    owner = os.getuid() if assembly.uid is None else assembly.uid
    try:
        _lay_out(assembly, tree, owner)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode(errors="replace") if isinstance(error, subprocess.CalledProcessError) else str(error)
        raise Unavailable(
            f"can't assemble {assembly.hostname} in {assembly.directory}: {said.strip()}",
            hint=make_room(assembly.directory) if is_full(assembly.directory.parent) else None,
        ) from error
    files = dict(environment.files)
    if assembly.hosts is not None:
        files["/etc/hosts"] = assembly.hosts.encode()
    return SandboxSpec(
        command=(f"{_SERVICE}/{BOOT}",),
        hostname=assembly.hostname,
        mounts=_mounts(assembly),
        files=files,
        environment=base_environment(assembly),
        directory=APP,
        uid=assembly.uid,
        memory_bytes=assembly.memory_bytes,
        nice=assembly.nice,
    )


_BIN = {"node_modules": ".bin"}


def base_environment(assembly: Assembly) -> dict[str, str]:
    """What every process is given below its own variables."""
    provided = (f"{APP}/{each}/{_BIN.get(each, 'bin')}" for each in assembly.dependencies)
    return {
        "PATH": ":".join((*assembly.path, *provided, _PATH)),
        "HOME": "/home",
        "USER": "app",
        "LANG": "C.UTF-8",
    }


def variables(assembly: Assembly, port: int) -> dict[bytes, bytes]:
    """The whole environment of a process that is started in the assembly's sandbox from outside, the same as its
    services give theirs."""
    merged: dict[str, str | bytes] = {**base_environment(assembly)}
    for _, layer in assembly.environment:
        merged.update(layer)
    merged["PORT"] = str(port)
    return {key.encode(): _encoded(value) for key, value in merged.items()}


def _hosts(assembly: Assembly) -> tuple[str, ...]:
    """Where a process of it may listen: its HOST is its own address, or all of them."""
    told = [layer["HOST"] for _, layer in assembly.environment if "HOST" in layer]
    return ("127.0.0.1", "::1", *(str(each) for each in told[-1:]))


def _encoded(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def _mounts(assembly: Assembly) -> tuple[Mount, ...]:
    services = service_directory(assembly.directory)
    mounts = [
        Mount(kind="writable", source=assembly.directory / "app", target=APP),
        Mount(kind="writable", source=assembly.directory / "home", target="/home"),
        Mount(kind="writable", source=assembly.directory / "tmp", target="/tmp"),
        Mount(kind="read_only", source=services, target=_SERVICE),
    ]
    for target, layer in assembly.dependencies.items():
        mounts.append(Mount(kind="read_only", source=layer, target=f"{APP}/{target}"))
    for name in assembly.processes:
        for part in (f"{name}/supervise", f"{name}/log/supervise"):
            mounts.append(Mount(kind="writable", source=services / part, target=f"{_SERVICE}/{part}"))
        mounts.append(Mount(kind="writable", source=assembly.logs / name, target=f"{_LOG}/{name}"))
    return tuple(mounts)


def _lay_out(assembly: Assembly, tree: Mapping[str, tuple[str, int]], owner: int) -> None:
    directory = assembly.directory
    services = service_directory(directory)
    for part in (directory / "app", directory / "tmp", services):
        _clear(part)
    _make_directory(directory)
    _copy(assembly.source, directory / "app", owner)
    for target in assembly.dependencies:
        _make_mount_point(directory / "app", target)
    for part in (directory / "home", directory / "tmp"):
        _make_directory(part, owner=owner)
    _make_directory(services, mode=0o755)
    for path, (content, mode) in tree.items():
        for parent in reversed(Path(path).parents[:-1]):
            _make_directory(services / parent, mode=0o755)
        _write(services / path, content, mode)
    for name in assembly.processes:
        _make_directory(services / name / "supervise", owner=owner)
        _make_directory(services / name / "log/supervise", owner=owner)
        _make_directory(assembly.logs / name, owner=owner)
        _write_log_config(assembly.logs / name, log_config(assembly.log_limits))


@effect("instance.clear")
def _clear(path: Path) -> None:
    if path.is_symlink() or path.exists():
        shutil.rmtree(path)


@effect("instance.make_directory")
def _make_directory(path: Path, *, mode: int = 0o700, owner: int | None = None) -> None:
    """Exists. No parent of it can be changed by an app, or this could be led elsewhere."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, -1)


@effect("instance.make_mount_point")
def _make_mount_point(app: Path, target: str) -> None:
    """A directory at `target` of the copied source, without following a link that the source may hold there."""
    path = app
    for part in Path(target).parts:
        path /= part
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.mkdir(exist_ok=True, mode=0o755)


@effect("instance.copy_source")
def _copy(source: Path, target: Path, owner: int) -> None:
    _run(("cp", "-a", "--reflink=auto", "--", str(source), str(target)))
    if os.getuid() == 0:
        _run(("chown", "-R", "--no-dereference", f"{owner}:{owner}", "--", str(target)))


def _run(command: tuple[str, ...]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@effect("instance.write_service")
def _write(path: Path, content: str, mode: int) -> None:
    path.write_text(content)
    path.chmod(mode)


@effect("instance.write_log_config")
def _write_log_config(directory: Path, content: str) -> None:
    # The app can write in here: what it may have left under this name is neither followed nor trusted.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            os.unlink("config", dir_fd=descriptor)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            shutil.rmtree("config", dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open("config", flags, 0o644, dir_fd=descriptor), "w") as file:
            os.fchmod(file.fileno(), 0o644)  # svlogd is the app's user, whatever our umask says
            file.write(content)
    finally:
        os.close(descriptor)
