"""Latency while a deploy goes on. Against the same build and boots in another environment beside it, where no traffic
is switched, and against the same load with nothing else going on. The three in turn, all windows of a kind pooled."""

import os
import time
from collections.abc import Callable, Sequence

from bench.rate import Report, percentile
from bench.site import Figure, Goal, Site, publish, site
from homeport.system.clock import pause

WINDOWS = int(os.environ.get("BENCH_WINDOWS", "12"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
QUIET_SECONDS = 4.0
BETWEEN_SECONDS = 1.0
"""What a deploy left to do is done before the next window begins."""
LATENCIES: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "p50": lambda values: percentile(values, 50),
    "p99": lambda values: percentile(values, 99),
}

Window = tuple[float, float]
"""Begin and end, in seconds after the load's begin."""


def window(begun: float, place: Site, *words: str) -> Window:
    """The window of one command; without one, of some quiet seconds."""
    if words:
        place.commit()
    pause(BETWEEN_SECONDS)
    first = time.monotonic() - begun
    if words:
        place(*words)
    else:
        pause(QUIET_SECONDS)
    return first, time.monotonic() - begun


def pooled(report: Report, windows: Sequence[Window]) -> list[float]:
    """Milliseconds of all requests that were due in the windows."""
    return [each for first, last in windows for each in report.between(first, last).latencies_ms]


def main() -> None:
    kinds: dict[str, tuple[str, ...]] = {
        "quiet": (),
        "beside": ("deploy", "-e", "beside"),
        "deploy": ("deploy", "-e", "staging"),
    }
    windows: dict[str, list[Window]] = {kind: [] for kind in kinds}
    with site(3) as place:
        place("up", "-e", "staging")
        place("up", "-e", "beside")
        with place.load(RATE) as running:
            begun = time.monotonic()
            window(begun, place)
            for number in range(WINDOWS):
                # neither kind is always the one after the other
                for kind in sorted(kinds, reverse=number % 2 == 1):
                    windows[kind].append(window(begun, place, *kinds[kind]))
    report = running.report
    found = {kind: pooled(report, each) for kind, each in windows.items()}
    failed = {kind: sum(report.between(*each).failed for each in windows[kind]) for kind in kinds}
    for name, kind, control in (
        ("deploy_under_load", "beside", "the same deploy into another environment: same build and boots, no switch"),
        ("deploy_and_quiet", "quiet", "the same load, nothing else going on"),
    ):
        goal = Goal("ratio", 1.1) if kind == "beside" else None
        publish(
            name,
            f"{control} ({RATE:g} requests/s, {WINDOWS} windows of each kind, pooled)",
            [
                Figure("requests", "", [len(found["deploy"])], [len(found[kind])]),
                Figure("failed requests", "", [failed["deploy"]], [failed[kind]], Goal("value", 0)),
                *(
                    Figure(what, "ms", [measure(found["deploy"])], [measure(found[kind])], goal)
                    for what, measure in LATENCIES.items()
                ),
                Figure(
                    "mean of each window",
                    "ms",
                    [LATENCIES["mean"](pooled(report, [each])) for each in windows["deploy"]],
                    [LATENCIES["mean"](pooled(report, [each])) for each in windows[kind]],
                ),
            ],
        )


if __name__ == "__main__":
    main()
