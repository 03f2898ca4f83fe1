"""The same app deployed by Homeport, and by Debian's Capistrano with gunicorn told by HUP to load it anew, behind the
same hand-written HAProxy configuration. In turn, under the same load: deploy time, latency, failed requests.

Needs Debian's capistrano, gunicorn and openssh-server: Capistrano logs in at a server of its own on loopback, with a
key that is thrown away.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.balancer_cpu import by_hand
from bench.rate import Report, load, percentile
from bench.site import Figure, Site, answer, free_port, publish, site, until
from homeport.system.clock import pause

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
WORKERS = 3
AFTER_SECONDS = 1.0
"""The window goes on for so long after the command's end: gunicorn isn't waited for by Capistrano."""
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
def _ending(*argv: str, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(argv, **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def capistrano(repository: Path, directory: Path) -> Iterator[Callable[[], str]]:
    """A call that deploys what is committed, and gives what Capistrano printed."""
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

    def deploy() -> str:
        done = subprocess.run(
            ("cap", "production", "deploy"), cwd=recipe, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with _ending("/usr/sbin/sshd", "-D", "-f", str(directory / "sshd_config"), stderr=subprocess.DEVNULL):
        until(lambda: _listens(port))
        yield deploy


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def gunicorn(deployed: Path) -> Iterator[int]:
    """Its port. As many workers as Homeport has instances."""
    port = free_port()
    argv = ("gunicorn", "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--chdir", str(deployed / "current"))
    argv += ("--pid", str(deployed / "shared" / "gunicorn.pid"), "app:application")
    with _ending(*argv, stderr=subprocess.DEVNULL):
        until(lambda: answer("127.0.0.1", port))
        yield port


class Deploy:
    """One deploy under load, in seconds from the commit: when the command had ended, when the last answer of the old
    version came. `report`: of the requests meanwhile."""

    def __init__(self, place: Site, url: str, deploy: Callable[[], object]) -> None:
        port = int(url.rpartition(":")[2])
        old = answer("127.0.0.1", port).split()[0]
        with load(url, RATE) as running:
            place.commit()
            begun = time.monotonic()
            deploy()
            self.ended = time.monotonic() - begun
            pause(AFTER_SECONDS)
        self.moved = running.report.said.last_us[old] / 1e6 - begun
        self.report: Report = running.report
        assert len(self.report.said.releases) == 2, self.report.said


def main() -> None:
    ours: list[Deploy] = []
    theirs: list[Deploy] = []
    with site(WORKERS, app="wsgi") as place, tempfile.TemporaryDirectory(prefix="bench-capistrano-") as name:
        directory = Path(name)
        place("up")
        with capistrano(place.app, directory) as deploy:
            deploy()
            with (
                gunicorn(directory / "deployed") as port,
                by_hand([f"127.0.0.1:{port}"]) as (url, _),
            ):
                until(lambda: answer("127.0.0.1", int(url.rpartition(":")[2])))
                for _ in range(RUNS):
                    theirs.append(Deploy(place, url, deploy))
                    ours.append(Deploy(place, place.url, lambda: place("deploy")))
    pooled = [[ms for each in some for ms in each.report.latencies_ms] for some in (ours, theirs)]
    publish(
        "side_by_side",
        f"Capistrano and gunicorn HUP, the same app, {RATE:g} requests/s",
        [
            Figure(
                "command ended (Homeport: bake 1 s included)",
                "s",
                *([d.ended for d in each] for each in (ours, theirs)),
            ),
            Figure("all traffic on the new version", "s", *([d.moved for d in each] for each in (ours, theirs))),
            Figure("requests", "", *([sum(d.report.said.sent for d in each)] for each in (ours, theirs))),
            Figure("failed requests", "", *([sum(d.report.failed for d in each)] for each in (ours, theirs))),
            Figure("mean latency meanwhile", "ms", *([sum(each) / len(each)] for each in pooled)),
            *(
                Figure(f"p{percent:g} meanwhile", "ms", *([percentile(each, percent)] for each in pooled))
                for percent in (50, 99, 99.9)
            ),
        ],
    )


if __name__ == "__main__":
    main()
