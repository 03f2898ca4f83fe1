"""CPU that HAProxy takes per request: ours, and one whose configuration a person wrote, with the same features, before
the same servers. In turn, the same load on each."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.idle import engine
from bench.rate import load
from bench.site import Figure, Goal, free_port, publish, site, until

PAIRS = int(os.environ.get("BENCH_RUNS", "7"))
RATE = float(os.environ.get("BENCH_MOST", "2000"))
SECONDS = 5.0
CONFIG = Path(__file__).with_name("by_hand.cfg")
THREADS = 2


def cpu_us(pids: tuple[int, ...]) -> float:
    """Microseconds on a core since these processes began, all threads."""
    total = 0
    for pid in pids:
        for each in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(each.read_text().split()[0])
    return total / 1000


@contextlib.contextmanager
def by_hand(servers: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """URL and processes of a HAProxy before these servers (`address:port`). Its log goes where ours goes: through a
    pipe to svlogd."""
    lines = "\n".join(f"    server s{number} {each}" for number, each in enumerate(servers))
    port = free_port()
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="bench-haproxy-") as directory:
        os.chmod(directory, 0o755)
        text = CONFIG.read_text().format(directory=directory, port=port, threads=THREADS, servers=lines)
        (Path(directory) / "haproxy.cfg").write_text(text)
        log = Path(directory) / "log"
        log.mkdir()
        with (
            subprocess.Popen(("svlogd", "-ttt", str(log)), stdin=subprocess.PIPE) as logger,
            subprocess.Popen(
                (program, "-W", "-db", "-f", f"{directory}/haproxy.cfg"), stdout=logger.stdin, stderr=logger.stdin
            ) as master,
        ):
            assert logger.stdin is not None
            logger.stdin.close()
            try:
                children = Path(f"/proc/{master.pid}/task/{master.pid}/children")
                until(lambda: len(children.read_text().split()) == 1)
                yield f"http://127.0.0.1:{port}", (master.pid, *map(int, children.read_text().split()))
            finally:
                master.send_signal(signal.SIGTERM)


def per_request(url: str, pids: tuple[int, ...]) -> float:
    """Microseconds of CPU per request."""
    before = cpu_us(pids)
    with load(url, RATE, requests=int(RATE * SECONDS), post_path="/") as running:
        pass
    assert running.report.failed == 0, running.report.said
    return (cpu_us(pids) - before) / running.report.said.sent


def main() -> None:
    ours, theirs = [], []
    with site(3, app="light") as place:
        place("up")
        pids = engine(place)["haproxy"]
        servers = [f"{each['address']}:{each['port']}" for each in place.instances()]
        with by_hand(servers) as (url, others):
            for pair in range(PAIRS + 1):
                here, there = per_request(place.url, pids), per_request(url, others)
                if pair:  # the first one warms up
                    ours.append(here)
                    theirs.append(there)
    publish(
        "balancer_cpu",
        f"HAProxy with bench/by_hand.cfg before the same three servers, {RATE:g} requests/s, in turn",
        [Figure("HAProxy's CPU per request", "µs", ours, theirs, Goal("ratio", 1.03))],
    )


if __name__ == "__main__":
    main()
