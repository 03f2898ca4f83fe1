"""Requests during a deploy: how many fail, how long they take. Against the same build and boots in another environment
beside it, where no traffic is switched, and against the same load with nothing else going on."""

import os
from collections.abc import Callable

from bench.site import Figure, Site, publish, site
from homeport.system.clock import pause
from tests.load import Report, load

RUNS = 5
RATE = float(os.environ.get("BENCH_RATE", "417"))
QUIET_SECONDS = 4.0
LATENCIES: dict[str, Callable[[Report], float]] = {
    "mean": lambda report: report.mean,
    "p50": lambda report: report.percentile(50),
    "p99": lambda report: report.percentile(99),
    "max": lambda report: report.percentile(100),
}


def during(place: Site, *words: str) -> Report:
    """The load's report over one command (none: over some quiet seconds)."""
    if words:
        place.commit()
    with load(place.url, rate=RATE) as running:
        if words:
            place(*words)
        else:
            pause(QUIET_SECONDS)
    return running.report


def main() -> None:
    deploys, besides, quiets = [], [], []
    with site(3) as place:
        place("up", "-e", "staging")
        place("up", "-e", "beside")
        during(place)
        for _ in range(RUNS):
            quiets.append(during(place))
            besides.append(during(place, "deploy", "-e", "beside"))
            deploys.append(during(place, "deploy", "-e", "staging"))
    for name, control, reports in (
        ("deploy_under_load", "the same deploy into another environment: same build, same boots, no switch", besides),
        ("deploy_and_quiet", "the same load, nothing else going on", quiets),
    ):
        publish(
            name,
            f"{control} ({RATE:g} requests/s)",
            [
                Figure("requests", "", [each.sent for each in deploys], [each.sent for each in reports]),
                Figure(
                    "failed requests, all runs",
                    "",
                    [sum(len(each.failures) for each in deploys)],
                    [sum(len(each.failures) for each in reports)],
                    "0",
                ),
                *(
                    Figure(what, "ms", [measure(each) for each in deploys], [measure(each) for each in reports])
                    for what, measure in LATENCIES.items()
                ),
            ],
        )


if __name__ == "__main__":
    main()
