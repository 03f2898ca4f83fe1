"""As `zero`, at what two cores bear: thousands of requests a second, on a backend that is light enough. How many that
are at all is shown first, with nothing else going on."""

import os

from bench.rate import percentile
from bench.site import Figure, publish, site
from bench.zero import strategies

RATE = float(os.environ.get("BENCH_MOST", "5000"))
SECONDS = float(os.environ.get("BENCH_MOST_SECONDS", "60"))
QUIET_SECONDS = 20


def quiet() -> list[Figure]:
    """The same load, and nothing is deployed."""
    with site(3, app="light") as place:
        place("up")
        with place.load(RATE, requests=int(RATE * QUIET_SECONDS)) as running:
            pass
        report = running.report
    what = f"no deploy, {RATE:g}/s on light"
    return [
        Figure(f"{what}: failed requests", "", [report.failed]),
        Figure(f"{what}: requests", "", [report.said.sent]),
        *(Figure(f"{what}: p{each}", "ms", [percentile(report.latencies_ms, each)]) for each in (50, 99)),
    ]


def main() -> None:
    publish("most", "none", [*quiet(), *strategies("light", RATE, int(RATE * SECONDS))])


if __name__ == "__main__":
    main()
