"""Failed requests while one deploy follows another, in each strategy, at a busy site's mean. Called by
`most` for what two cores bear.

The generator is `generator.c`; that it sees what fails is shown first, by a backend that fails on purpose.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from bench.rate import Report, load, percentile
from bench.site import Figure, Goal, Site, publish, site

STRATEGIES = ("replace", "rolling")
RATE = float(os.environ.get("BENCH_RATE", "417"))
REQUESTS = int(os.environ.get("BENCH_REQUESTS", "100000"))
PLANTED_REQUESTS = 5000


def planted() -> tuple[int, int]:
    """(failures that were planted, failures that the generator saw)."""
    argv = (sys.executable, str(Path(__file__).with_name("planted.py")))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as backend:
        assert backend.stdout is not None
        port = int(backend.stdout.readline())
        with load(f"http://127.0.0.1:{port}", RATE, requests=PLANTED_REQUESTS) as running:
            pass
        backend.terminate()
        broken = json.loads(backend.stdout.read())
    return sum(broken.values()), running.report.failed


def deploying(place: Site, rate: float, requests: int) -> tuple[Report, int]:
    """The load's report, and how many deploys went through meanwhile, one after the other."""
    deploys = 0
    over = threading.Event()
    with place.load(rate, requests=requests) as running:
        waiting = threading.Thread(target=lambda: (running.end(), over.set()))
        waiting.start()
        while not over.is_set():
            place.commit()
            place("deploy")
            deploys += 1
        waiting.join()
    return running.report, deploys


def strategies(app: str, rate: float, requests: int) -> list[Figure]:
    """Of `requests` requests at `rate` per second in each strategy."""
    figures = []
    for strategy in STRATEGIES:
        with site(3, app=app, strategy=strategy) as place:
            place("up")
            report, deploys = deploying(place, rate, requests)
        what = f"{strategy}, {rate:g}/s on {app}"
        print(what, report.said.failures[:10], report.said.late_us, flush=True)
        figures += [
            Figure(f"{what}: failed requests", "", [report.failed], goal=Goal("value", 0)),
            Figure(f"{what}: requests", "", [report.said.sent]),
            Figure(f"{what}: deploys meanwhile", "", [deploys]),
            *(Figure(f"{what}: p{each}", "ms", [percentile(report.latencies_ms, each)]) for each in (50, 99)),
        ]
    return figures


def main() -> None:
    made, seen = planted()
    assert made == seen > 0, (made, seen)
    caught = Figure("planted failures that the generator saw", "", [seen], [made])
    publish("zero", "what the failing backend had planted", [caught, *strategies("plain", RATE, REQUESTS)])


if __name__ == "__main__":
    main()
