"""Process trees in bubblewrap sandboxes, left alone or run to their end. Implements `ports.sandbox.Sandbox`.

As an ordinary user everything runs as that user, in a user namespace. As root bubblewrap itself mounts (the home may
lie where only root can look) and keeps just the capabilities that `setpriv`, the first process, needs to become the
sandbox's uid and drop everything. Secrets travel in memory files: arguments are world-readable.
"""

import contextlib
import fcntl
import hashlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import IO, BinaryIO

import msgspec
from msgspec.structs import replace

from homeport.errors import Bug, Unavailable
from homeport.instance import rootfs
from homeport.instance.cgroup import Cgroups
from homeport.instance.leash import leashed, pull
from homeport.instance.service import OOM_COUNTER
from homeport.ports.sandbox import Mount, SandboxSpec
from homeport.system import process
from homeport.system.effect import effect

TIMED_OUT = 124
LOOK_SECONDS = 0.003
"""Several sandboxes may begin at once, and each look takes from them what they begin with."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAIL_BYTES = 2000
_JOIN_CGROUP = ("/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"')

# Where the kernel groups processes by session (sched(7)), `nice` counts within the sandbox's own session alone. Of all
# callers on the machine the kernel hears ten a second, and tells the others to try again.
_AS_NICE = (
    "/bin/sh",
    "-c",
    '(for each in 1 2 3 4 5; do echo "$0" >/proc/self/autogroup && break; sleep 0.1; done) >/dev/null 2>&1 & exec "$@"',
)


class _Status(msgspec.Struct, rename="kebab"):
    """A line of bubblewrap's --json-status-fd."""

    child_pid: int | None = None
    exit_code: int | None = None


class _Info(msgspec.Struct, rename="kebab"):
    """What bubblewrap writes to --info-fd."""

    child_pid: int


def cgroup_key(info: Path) -> str:
    """Name of the cgroup of the sandbox that was started with this `info` file."""
    return hashlib.sha256(os.fsencode(info.absolute())).hexdigest()[:16]


def written_pid(info: Path) -> int | None:
    """Pid 1 of the sandbox that was started with this `info` file, also by a program that was killed right afterwards:
    waits while bubblewrap is about to write it. None: there never was one."""
    try:
        with info.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            return msgspec.json.decode(file.read(), type=_Info).child_pid
    except (OSError, msgspec.DecodeError):
        return None


class BwrapSandbox:
    def __init__(self) -> None:
        self._cgroups = Cgroups()

    def problem(self) -> Unavailable | None:
        """Why sandboxes can't run on this machine, with the command that mends it; None: they can."""
        spec = SandboxSpec(command=("/bin/true",), hostname="probe", directory="/", uid=_some_uid())
        output = bytearray()
        try:
            status = self.run(spec, output=output.extend, timeout=timedelta(seconds=20))
        except Unavailable as error:
            return error
        return None if status == 0 else _unavailable(f"a trial ended with {status}", bytes(output))

    def limit(self, info: Path, memory_bytes: int | None) -> Path | None:
        """The file by which a process joins the limited cgroup of the sandbox of that `info`, or one of its own of that
        name; None: there is no limit, or it isn't by cgroup."""
        if memory_bytes is None or not self._cgroups.kind:
            return None
        return self._cgroups.create(cgroup_key(info), memory_bytes)

    def oom_kills(self, info: Path) -> int:
        """How many processes of that sandbox were killed for want of memory."""
        return self._cgroups.oom_kills(cgroup_key(info))

    def forget(self, info: Path) -> bool:
        """Whether nothing of that (ended) sandbox is left on the machine; False: some of it still ends."""
        return self._cgroups.remove(cgroup_key(info))

    def start(self, spec: SandboxSpec, *, info: Path, output: Path | None = None) -> int:
        """See `ports.sandbox.Sandbox`."""
        key = cgroup_key(info)
        outer = ("/usr/bin/setsid", "--fork", *self._limits(spec, key))
        if spec.memory_bytes is not None and self._cgroups.kind:
            counter = Mount(kind="read_only", source=self._cgroups.counter(key), target=OOM_COUNTER)
            spec = replace(spec, mounts=(*spec.mounts, counter))
        before = _size(output)
        with _described(spec) as (arguments, descriptors), contextlib.ExitStack() as kept:
            # Not a pipe: bubblewrap would die of it half-way where we do.
            with (
                _memory_file("status", b"") as status,
                info.open("wb") as record,
                (output or Path(os.devnull)).open("ab") as out,
            ):
                said = kept.enter_context(open(f"/proc/self/fd/{status}", "rb"))
                # Bubblewrap inherits the locks, and lets go of each when it has written all: see `written_pid`.
                for file in (status, record.fileno()):
                    fcntl.flock(file, fcntl.LOCK_EX)
                arguments += ["--as-pid-1", "--info-fd", str(record.fileno()), "--json-status-fd", str(status)]
                with _arguments(arguments) as passed:
                    line = [*outer, _bwrap(), "--args", str(passed), "--", *_command(spec)]
                    _spawn(line, (*descriptors, passed, record.fileno(), status), out.fileno())
            return _wait_for_command(info, said, lambda: _tail(output, before))

    def run(
        self,
        spec: SandboxSpec,
        *,
        output: Callable[[bytes], None] | None = None,
        timeout: timedelta | None = None,
    ) -> int:
        """See `ports.sandbox.Sandbox`."""
        key = f"run-{os.getpid()}-{time.monotonic_ns()}"
        limits = self._limits(spec, key)
        try:
            with _described(spec) as (arguments, descriptors), _pipe() as (status, write), _pipe() as (end, leash):
                with write, end:
                    # Pid 1 is bubblewrap's own here. As root it keeps uid 0 (without capabilities): a process of
                    # another uid couldn't be killed by the death of its parent. It has the status open to be read,
                    # too: what writes it would die half-way where we do.
                    ends = (write.fileno(), status.fileno())
                    arguments += ["--die-with-parent", "--json-status-fd", str(ends[0]), "--sync-fd", str(ends[1])]
                    with _arguments(arguments) as passed:
                        line = leashed([*limits, _bwrap(), "--args", str(passed), "--", *_command(spec)])
                        outer = _spawn_child(line, (*descriptors, passed, *ends), end)
                return _follow(outer, leash, status, output, timeout)
        finally:
            if limits:
                self._cgroups.remove(key)

    def _limits(self, spec: SandboxSpec, key: str) -> list[str]:
        """Arguments in front of bubblewrap that limit what follows."""
        line: list[str] = []
        if spec.memory_bytes is not None:
            try:
                line += [*_JOIN_CGROUP, str(self._cgroups.create(key, spec.memory_bytes))] if self._cgroups.kind else []
            except OSError as error:
                raise Unavailable(f"can't limit memory to {spec.memory_bytes} bytes: {error}") from error
            if not line:
                # Not the address space: Node reserves gigabytes that it never touches.
                line = ["/usr/bin/prlimit", f"--data={spec.memory_bytes}", "--"]
        if spec.nice:
            line += ["/usr/bin/nice", "-n", str(spec.nice), "--"]
        return line


def _bwrap() -> str:
    found = shutil.which("bwrap", path=_PATH)
    if found is None:
        raise Unavailable("bubblewrap (bwrap) isn't installed", hint="apt-get install bubblewrap")
    return found


def _some_uid() -> int | None:
    return 65534 if os.getuid() == 0 else None


def _uid(spec: SandboxSpec) -> int:
    """Uid of everything inside. Raises `Bug` for one that can't be, 0 above all."""
    own = os.getuid()
    uid = own if spec.uid is None else spec.uid
    if uid == 0 or own not in (0, uid):
        raise Bug(f"sandbox {spec.hostname}: uid is {spec.uid} for a caller with uid {own}")
    return uid


def _command(spec: SandboxSpec) -> tuple[str, ...]:
    command = (*_AS_NICE, str(spec.nice), *spec.command) if spec.nice else spec.command
    if os.getuid() != 0:
        return command
    uid = str(_uid(spec))
    line = ["/usr/bin/setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"]
    return (*line, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--", *command)


@contextlib.contextmanager
def _memory_file(name: str, content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create(name)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _arguments(arguments: list[str]) -> Iterator[int]:
    if any("\0" in each for each in arguments):
        raise Bug("a sandbox's argument or environment holds a NUL character")
    with _memory_file("arguments", b"".join(os.fsencode(each) + b"\0" for each in arguments)) as descriptor:
        yield descriptor


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    read, write = os.pipe()
    with open(read, "rb") as reader, open(write, "wb") as writer:
        yield reader, writer


@contextlib.contextmanager
def _described(spec: SandboxSpec) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Arguments that describe the inside, and the open files that they name."""
    uid = _uid(spec)
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--new-session"]
    if os.getuid() == 0:
        arguments += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        arguments += ["--cap-add", "CAP_SETPCAP"]
    else:
        arguments += ["--unshare-user"]
    arguments += ["--hostname", spec.hostname]
    base, generated = rootfs.base(uid, uid if os.getuid() == 0 else os.getgid(), spec.hostname)
    taken = {mount.target for mount in spec.mounts}
    content = {path: data for path, data in generated.items() if path not in taken} | spec.files
    with contextlib.ExitStack() as stack:
        opened = {path: stack.enter_context(_memory_file("file", data)) for path, data in content.items()}
        arguments += [*base, *rootfs.mounts(spec.mounts), *rootfs.files(opened), *rootfs.sealed()]
        arguments += ["--chdir", spec.directory, "--clearenv"]
        for key, value in spec.environment.items():
            arguments += ["--setenv", key, value]
        yield arguments, tuple(opened.values())


@effect("sandbox.start")
def _spawn(line: list[str], descriptors: tuple[int, ...], output: int) -> None:
    # `setsid --fork` ends at once: the sandbox then belongs to init, and nobody here must wait for it.
    try:
        subprocess.run(
            line,
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": _PATH},
            cwd="/",
            umask=0o022,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise _unavailable(f"{line[0]} failed: {error}", b"") from error


@effect("sandbox.run")
def _spawn_child(line: list[str], descriptors: tuple[int, ...], leash: BinaryIO) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            line,
            pass_fds=descriptors,
            stdin=leash,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": _PATH},
            cwd="/",
            umask=0o022,
            start_new_session=True,  # a key pressed at our terminal is for us
        )
    except OSError as error:
        raise _unavailable(f"{line[0]} failed: {error}", b"") from error


def _read_status(status: BinaryIO) -> _Status:
    """Bubblewrap's next message; an empty one if it ended without."""
    line = status.readline()
    return msgspec.json.decode(line, type=_Status) if line else _Status()


def _wait_for_command(info: Path, status: BinaryIO, said: Callable[[], bytes]) -> int:
    """Pid of the sandbox's first process, once it is no longer bubblewrap's own set-up code. `status`: locked while
    bubblewrap may yet write to it."""
    pid = written_pid(info)
    if pid is None:
        raise _unavailable("bubblewrap made none", said())
    started = process.start_time(pid)
    pidfd = None if started is None else process.open_pidfd(pid, started)
    try:
        while pidfd is not None and not process.ended(pidfd, LOOK_SECONDS):
            if process.name(pid) not in (None, "bwrap"):
                return pid
    finally:
        if pidfd is not None:
            os.close(pidfd)
    # Bubblewrap tells an exit code only of a command that it came to execute.
    fcntl.flock(status, fcntl.LOCK_SH)
    if all(msgspec.json.decode(line, type=_Status).exit_code is None for line in status):
        raise _unavailable("its set-up failed", said())
    return pid


def _follow(
    outer: "subprocess.Popen[bytes]",
    leash: BinaryIO,
    status: BinaryIO,
    output: Callable[[bytes], None] | None,
    timeout: timedelta | None,
) -> int:
    """Exit status; the whole tree has ended, whatever happens."""
    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    said = bytearray()

    def hear(piece: bytes) -> None:
        said[:] = (said + piece)[-_TAIL_BYTES:]
        if output and piece:
            output(piece)

    assert outer.stdout is not None
    pidfd: int | None = None
    with outer.stdout as stream:
        try:
            inner = _read_status(status).child_pid
            started = None if inner is None else process.start_time(inner)
            pidfd = None if inner is None or started is None else process.open_pidfd(inner, started)
            while piece := _next_piece(stream, deadline):
                hear(piece)
            code = outer.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            return TIMED_OUT
        finally:
            _end(outer, leash, pidfd)
    if code < 128 and _read_status(status).exit_code is None:
        raise _unavailable("its set-up failed", bytes(said))
    return code


@effect("sandbox.end")
def _end(outer: "subprocess.Popen[bytes]", leash: BinaryIO, pidfd: int | None) -> None:
    """The whole tree has ended: its pid 1 is the last of it to go."""
    pull(leash.fileno())
    if pidfd is not None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        while not process.ended(pidfd, 60):
            pass
        os.close(pidfd)
    outer.wait()


def _next_piece(stream: IO[bytes], deadline: float | None) -> bytes:
    """Some output; nothing at its end. Raises TimeoutError."""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    if not poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError
    return os.read(stream.fileno(), 65536)


def _size(output: Path | None) -> int:
    return output.stat().st_size if output and output.exists() else 0


def _tail(output: Path | None, start: int) -> bytes:
    """The last of what was written to `output` after its first `start` bytes."""
    return output.read_bytes()[start:][-_TAIL_BYTES:] if output else b""


def _unavailable(why: str, said: bytes) -> Unavailable:
    lines = tuple(said.decode(errors="replace").splitlines()[-5:])
    return Unavailable(f"can't make a sandbox: {why}", hint=_remedy(), details=lines)


def _setting(name: str) -> str:
    try:
        return (Path("/proc/sys") / name).read_text().strip()
    except OSError:
        return ""


def _remedy() -> str | None:
    """The command that mends this machine, as far as its settings show one."""
    if os.getuid() != 0 and _setting("kernel/unprivileged_userns_clone") == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if os.getuid() != 0 and _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    if _setting("user/max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=10000"
    return None
