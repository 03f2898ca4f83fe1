"""The same app deployed by Homeport and by each of its `peers`, behind the same hand-written HAProxy configuration. In
turn, under the same load: deploy time, latency, failed requests.

Needs Debian's capistrano, gunicorn and openssh-server.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.peers import PEERS, WORKERS
from bench.rate import Report, load, percentile
from bench.site import Figure, Site, answer, publish, site, until
from homeport.system.clock import pause

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
AFTER_SECONDS = 1.0
"""The window goes on for so long after the command's end: gunicorn isn't waited for by everybody."""


class Deploy:
    """One deploy under load, in seconds from the commit: when the command had ended, when the last answer of the old
    version came. `report`: of the requests meanwhile."""

    def __init__(self, place: Site, url: str, deploy: Callable[[], object]) -> None:
        old = _answer(url).split()[0]
        with load(url, RATE) as running:
            place.commit()
            begun = time.monotonic()
            deploy()
            self.ended = time.monotonic() - begun
            pause(AFTER_SECONDS)
        self.moved = running.report.said.last_us[old] / 1e6 - begun
        self.report: Report = running.report
        assert len(self.report.said.releases) == 2, self.report.said


def _answer(url: str) -> str:
    return answer("127.0.0.1", int(url.rpartition(":")[2]))


def main() -> None:
    ours: list[Deploy] = []
    theirs: dict[str, list[Deploy]] = {name: [] for name in PEERS}
    with site(WORKERS, app="wsgi") as place, contextlib.ExitStack() as stack:
        place("up")
        running = {}
        for name, peer in PEERS.items():
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peer-"))
            running[name] = stack.enter_context(peer(place.app, Path(directory)))
            until(lambda url=running[name][0]: _answer(url))
        for _ in range(RUNS):
            for name, (url, deploy) in running.items():
                theirs[name].append(Deploy(place, url, deploy))
            ours.append(Deploy(place, place.url, lambda: place("deploy")))
    for name, control in theirs.items():
        publish(name, f"{PEERS[name].__doc__}; the same app, {RATE:g} requests/s", figures(ours, control))


def figures(ours: list[Deploy], theirs: list[Deploy]) -> list[Figure]:
    both = (ours, theirs)
    pooled = [[ms for each in some for ms in each.report.latencies_ms] for some in both]
    return [
        Figure("command ended (Homeport: bake 1 s included)", "s", *([d.ended for d in each] for each in both)),
        Figure("all traffic on the new version", "s", *([d.moved for d in each] for each in both)),
        Figure("requests", "", *([sum(d.report.said.sent for d in each)] for each in both)),
        Figure("failed requests", "", *([sum(d.report.failed for d in each)] for each in both)),
        Figure("mean latency meanwhile", "ms", *([sum(each) / len(each)] for each in pooled)),
        *(
            Figure(f"p{percent:g} meanwhile", "ms", *([percentile(each, percent)] for each in pooled))
            for percent in (50, 99, 99.9)
        ),
    ]


if __name__ == "__main__":
    main()
