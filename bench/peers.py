"""What others deploy such an app with. Each gives the URL where it answers, and a call that deploys what is committed.
Called by `side_by_side`.

Capistrano logs in at a server of its own on loopback, with a key that is thrown away.
"""

import contextlib
import getpass
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.balancer_cpu import by_hand
from bench.site import answer, free_port, until

Running = tuple[str, Callable[[], object]]
WORKERS = 3
RECIPE = Path(__file__).with_name("capistrano")
SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey {directory}/host
AuthorizedKeysFile {directory}/key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


@contextlib.contextmanager
def capistrano(repository: Path, directory: Path) -> Iterator[Running]:
    """Capistrano and gunicorn HUP"""
    port = free_port()
    for name in ("host", "key"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name), check=True)
    (directory / "sshd_config").write_text(SSHD.format(port=port, directory=directory))
    recipe = directory / "recipe"
    shutil.copytree(RECIPE, recipe)
    environ = {
        **os.environ,
        "BENCH_REPOSITORY": str(repository),
        "BENCH_DEPLOY_TO": str(directory / "deployed"),
        "BENCH_SSH_PORT": str(port),
        "BENCH_SSH_KEY": str(directory / "key"),
        "BENCH_USER": getpass.getuser(),
        "LC_ALL": "C.UTF-8",
    }
    Path("/run/sshd").mkdir(exist_ok=True)

    def deploy() -> None:
        done = subprocess.run(
            ("cap", "production", "deploy"), cwd=recipe, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    with _ending("/usr/sbin/sshd", "-D", "-f", str(directory / "sshd_config"), stderr=subprocess.DEVNULL):
        until(lambda: _listens(port))
        deploy()
        pid = directory / "deployed/shared/gunicorn.pid"
        with (
            gunicorn(directory / "deployed/current", "--workers", str(WORKERS), "--pid", str(pid)) as at,
            by_hand([f"127.0.0.1:{at}"]) as (url, _),
        ):
            yield url, deploy


@contextlib.contextmanager
def hup(repository: Path, directory: Path) -> Iterator[Running]:
    """the files replaced and gunicorn HUP, no more"""
    pid = directory / "gunicorn.pid"
    code = directory / "code"
    unpack(repository, code)
    with (
        gunicorn(code, "--workers", str(WORKERS), "--pid", str(pid)) as port,
        by_hand([f"127.0.0.1:{port}"]) as (url, _),
    ):

        def deploy() -> None:
            unpack(repository, code)
            os.kill(int(pid.read_text()), signal.SIGHUP)

        yield url, deploy


@contextlib.contextmanager
def drain(repository: Path, directory: Path) -> Iterator[Running]:
    """a script that drains a server of HAProxy, starts it anew, and takes the next"""
    with contextlib.ExitStack() as stack:
        servers: list[tuple[int, contextlib.ExitStack]] = []
        for number in range(WORKERS):
            unpack(repository, directory / f"0-{number}")
            server = stack.enter_context(contextlib.ExitStack())
            servers.append((server.enter_context(gunicorn(directory / f"0-{number}")), server))
        url, pids = stack.enter_context(by_hand([f"127.0.0.1:{port}" for port, _ in servers]))
        admin = Path(f"/proc/{pids[0]}/cmdline").read_text().split("\0")[-2].replace("haproxy.cfg", "stats.sock")

        def told(command: str) -> str:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(admin)
                connection.sendall(f"{command}\n".encode())
                return connection.makefile().read()

        def idle(name: str) -> bool:
            line = next(each for each in told("show stat").splitlines() if each.startswith(f"web,{name},"))
            return line.split(",")[4] == "0"

        deploys = iter(range(1, 1000))

        def deploy() -> None:
            release = next(deploys)
            for number, (port, server) in enumerate(servers):
                code = directory / f"{release}-{number}"
                unpack(repository, code)
                told(f"set server web/s{number} state drain")
                until(lambda name=f"s{number}": idle(name))
                server.close()
                server.enter_context(gunicorn(code, port=port))
                told(f"set server web/s{number} state ready")

        yield url, deploy


PEERS: dict[str, Callable[[Path, Path], "contextlib.AbstractContextManager[Running]"]] = {
    "side_by_side": capistrano,
    "side_by_side_hup": hup,
    "side_by_side_drain": drain,
}


@contextlib.contextmanager
def gunicorn(code: Path, *options: str, port: int = 0) -> Iterator[int]:
    """Its port, once it answers."""
    port = port or free_port()
    argv = ("gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", str(code), *options, "app:application")
    with _ending(*argv, stderr=subprocess.DEVNULL):
        until(lambda: answer("127.0.0.1", port))
        yield port


def unpack(repository: Path, into: Path) -> None:
    """What is committed."""
    archive = subprocess.run(("git", "-C", repository, "archive", "HEAD"), check=True, capture_output=True).stdout
    into.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        found.extractall(into)


@contextlib.contextmanager
def _ending(*argv: str, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(argv, **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
