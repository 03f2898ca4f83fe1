"""Attacks of an app on its host and its neighbours. Each is a function from targets to evidence: a line per success,
nothing where it was refused. `python3 attack.py < targets.json` runs them outside any sandbox, which is the control:
what succeeds there and fails inside shows that the sandbox refuses it, and that the attack can be seen to work.

Every target is made by the test, and holds `token`, so that no attack can hit anything else. Targets (all optional):
    token        word in the victims' content, environment and command lines
    files        victims to overwrite
    directories  to plant a file in; each holds a file with the token
    secrets      files to read
    key          name of another's environment variable
    roots        directories to search for that variable's file
    sockets      Unix sockets to connect to
    pids         victim processes, as the host numbers them; the token is in their command line
    read_only    files to overwrite that are seen through a read-only mount
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

Targets = dict
libc = ctypes.CDLL(None, use_errno=True)
MS_REMOUNT, MS_BIND = 32, 4096
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def attempt(action: Callable[[], str | None]) -> Iterator[str]:
    try:
        evidence = action()
    except (OSError, ValueError):
        return
    if evidence:
        yield evidence


def each_way(path: str, action: Callable[[str], str | None]) -> Iterator[str]:
    """By its own name, and through the root directory of any other process."""
    yield from attempt(lambda: action(path))
    for process in Path("/proc").glob("[0-9]*"):
        found = list(attempt(lambda process=process: action(f"{process}/root{path}")))
        if found:
            yield from found
            return


def overwrite(path: str) -> str:
    with open(path, "r+b") as file:  # no O_CREAT: a private file of the same name is no success
        file.write(b"hostile")
    return f"wrote {path}"


def write_files(targets: Targets) -> Iterator[str]:
    for path in targets.get("files", []):
        yield from each_way(path, overwrite)


def plant_files(targets: Targets) -> Iterator[str]:
    def plant(directory: str) -> str | None:
        files = [each for each in Path(directory).iterdir() if each.is_file()]
        if not any(targets["token"] in each.read_text(errors="replace") for each in files):
            return None  # not the host's
        Path(directory, "planted").write_text("hostile")
        return f"planted {directory}/planted"

    for directory in targets.get("directories", []):
        yield from attempt(lambda directory=directory: plant(directory))


def read_secrets(targets: Targets) -> Iterator[str]:
    def read(path: str) -> str | None:
        return f"read {path}" if targets["token"] in Path(path).read_text(errors="replace") else None

    for path in targets.get("secrets", []):
        yield from each_way(path, read)


def read_environment(targets: Targets) -> Iterator[str]:
    """Another's variable: in /proc, or as a file of an environment directory."""
    if "key" not in targets:
        return
    key, token = targets["key"].encode(), targets["token"].encode()

    def look(process: Path) -> str | None:
        for entry in (process / "environ").read_bytes().split(b"\0"):
            if entry.startswith(key + b"=") and token in entry:
                return f"{process}/environ has {targets['key']}"
        return None

    for process in Path("/proc").glob("[0-9]*"):
        yield from attempt(lambda process=process: look(process))
    for root in targets.get("roots", []):
        for directory, _, files in os.walk(root):
            path = Path(directory, targets["key"])
            if targets["key"] in files:
                yield from attempt(lambda path=path: f"read {path}" if token in path.read_bytes() else None)


def connect_sockets(targets: Targets) -> Iterator[str]:
    def connect(path: str) -> str:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            client.connect(path)
        return f"connected to {path}"

    for path in targets.get("sockets", []):
        yield from each_way(path, connect)


def leave_process(targets: Targets) -> Iterator[str]:
    """A process in a session of its own, deaf to TERM, with the token in its command line. The test looks for it on
    the host, after the instance has ended."""
    if "token" not in targets:
        return
    code = (
        "import signal,time\nfor n in (1,2,15): signal.signal(n, signal.SIG_IGN)\nprint(1, flush=True)\ntime.sleep(60)"
    )
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            os.dup2(write, 1)
            os.execv(sys.executable, [sys.executable, "-c", code, f"left-{targets['token']}"])
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as started:
        if started.readline():
            yield f"left a process {targets['token']}"


def remount(targets: Targets) -> Iterator[str]:
    """Mounts made writable, here and in a new user namespace: done in a child, so that the server stays as it was."""

    def make_writable(path: str) -> str:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        point = max((each for each in points if path.startswith(each)), key=len)
        if libc.mount(None, point.encode(), None, MS_REMOUNT | MS_BIND, None) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        return overwrite(path)

    for flags in (0, CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            if flags == 0 or libc.unshare(flags) == 0:
                for path in targets.get("read_only", []):
                    for line in attempt(lambda path=path: make_writable(path)):
                        os.write(write, f"remounted with flags {flags:#x}: {line}\n".encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as lines:
            yield from lines.read().splitlines()
        os.waitpid(child, 0)


def reach_processes(targets: Targets) -> Iterator[str]:
    def mine(pid: int) -> None:
        if targets["token"].encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
            raise OSError("not a victim")  # the number means another process in here

    def trace(pid: int) -> str:
        mine(pid)
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(pid, 0x40000000)  # __WALL
        libc.ptrace(PTRACE_DETACH, pid, None, None)
        return f"traced {pid}"

    def end(pid: int) -> str:
        mine(pid)
        os.kill(pid, signal.SIGKILL)
        return f"killed {pid}"

    for pid in targets.get("pids", []):
        yield from attempt(lambda pid=pid: trace(pid))
        yield from attempt(lambda pid=pid: end(pid))


def use_capabilities(targets: Targets) -> Iterator[str]:
    status = Path("/proc/self/status").read_text()
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key in ("CapEff", "CapPrm", "CapInh", "CapAmb") and int(value, 16):
            yield f"{key} is {value.strip()}"
    if os.getuid() == 0:
        yield "runs as uid 0"

    def raw_socket() -> str:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
        return "opened a raw socket"

    def low_port() -> str:
        with socket.socket() as server:
            server.bind(("127.0.0.77", 77))
        return "bound port 77"

    def device() -> str:
        path = f"/tmp/device-{os.getpid()}"
        os.mknod(path, 0o020666, os.makedev(1, 3))
        os.unlink(path)
        return "made a device"

    def chroot() -> str:
        child = os.fork()
        if child == 0:
            try:
                os.chroot("/tmp")
            except OSError:
                os._exit(1)
            os._exit(0)
        _, code = os.waitpid(child, 0)
        if code != 0:
            raise OSError("chroot")
        return "changed root"

    for action in (raw_socket, low_port, device, chroot):
        yield from attempt(action)


ATTACKS: dict[str, Callable[[Targets], Iterator[str]]] = {
    each.__name__: each
    for each in (
        write_files,
        plant_files,
        read_secrets,
        read_environment,
        connect_sockets,
        leave_process,
        remount,
        reach_processes,
        use_capabilities,
    )
}


def run(targets: Targets, names: list[str] | None = None) -> dict[str, list[str]]:
    """Attack → evidence of what succeeded; an empty list: all was refused."""
    return {name: list(ATTACKS[name](targets)) for name in names or ATTACKS}


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin), sys.argv[1:]), sys.stdout)
