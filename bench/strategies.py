"""Each strategy, three and twelve instances, under load: failed requests, latency, time, memory; then a release that
never gets healthy: how soon that is said, and how soon the old one has all to itself again."""

import os
import threading
import time
from pathlib import Path

from bench.deploy_under_load import LATENCIES, Window, pooled, window
from bench.site import Figure, Goal, Site, by_hand, publish, site
from homeport.system.clock import pause
from tests.app_repository import commit

RATE = float(os.environ.get("BENCH_RATE", "417"))
WINDOWS = int(os.environ.get("BENCH_WINDOWS", "3"))
COUNTS = (3, 12)
STRATEGIES = {
    "replace": "",
    "rolling": 'max_unavailable = "25%"\nmax_surge = "25%"\n',
    "blue-green": 'keep_old = "5s"\n',
    "canary": 'steps = [{ weight = "10%", pause = "2s" }, { weight = "50%", pause = "2s" }]\n'
    'min_requests = 20\ninconclusive = "continue"\n',
}
GRACE_SECONDS = 3
HEALTH = f'interval = "200ms"\ngrace = "{GRACE_SECONDS}s"\n'
NEVER_HEALTHY = {"Procfile": "web: APP_HEALTH=503 exec python3 web.py\n"}
LOOK_SECONDS = 0.05


class Memory:
    """The least that the machine had available while the block ran, against its beginning."""

    def __enter__(self) -> "Memory":
        self._ended = threading.Event()
        self._before = self._least = available_mb()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self._least = min(self._least, available_mb())

    @property
    def taken_mb(self) -> float:
        return self._before - self._least


def available_mb() -> float:
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) / 1024


def good(place: Site, count: int, what: str) -> list[Figure]:
    """Deploys that succeed, in turn with the same one in the environment beside."""
    kinds: dict[str, tuple[str, ...]] = {
        "quiet": (),
        "beside": ("deploy", "-e", "beside"),
        "deploy": ("deploy", "-e", "staging"),
    }
    windows: dict[str, list[Window]] = {kind: [] for kind in kinds}
    taken, moving, boots = [], [], [by_hand(place, count) for _ in range(3)]
    with place.load(RATE) as running:
        begun = time.monotonic()
        for number in range(WINDOWS):
            for kind in sorted(kinds, reverse=number % 2 == 1):
                with Memory() as memory:
                    windows[kind].append(window(begun, place, *kinds[kind]))
                if kind == "deploy":
                    taken.append(memory.taken_mb)
                    steps = place.newest()
                    moving.append(steps["Baking"] - steps["Started"])
    report = running.report
    found = {kind: pooled(report, each) for kind, each in windows.items()}
    failed = sum(report.between(*each).failed for each in windows["deploy"])
    return [
        Figure(f"{what}: failed requests", "", [failed], goal=Goal("value", 0)),
        *(
            Figure(
                f"{what}: {name}, beside the same boots",
                "ms",
                [measure(found["deploy"])],
                [measure(found["beside"])],
                Goal("ratio", 1.1),
            )
            for name, measure in LATENCIES.items()
        ),
        *(
            Figure(
                f"{what}: {name}, beside a quiet time",
                "ms",
                [LATENCIES[name](found["deploy"])],
                [LATENCIES[name](found["quiet"])],
            )
            for name in ("p50", "p99")
        ),
        Figure(f"{what}: begun to all on the new release, beside {count} started by hand", "s", moving, boots),
        Figure(f"{what}: memory meanwhile", "MB", taken),
    ]


def bad(place: Site, what: str) -> list[Figure]:
    """Deploys of a release that never gets healthy."""
    said, back = [], []
    healthy = (place.app / "Procfile").read_text()
    with place.load(RATE) as running:
        for _ in range(WINDOWS):
            commit(place.app, NEVER_HEALTHY)
            place.failing("deploy", "-e", "staging")
            steps = place.newest()
            said.append(steps["Reverting"] - steps["Started"] - GRACE_SECONDS)
            back.append(steps["Ended"] - steps["Reverting"])
            pause(1.0)
    commit(place.app, {"Procfile": healthy})
    return [
        Figure(f"{what}, never healthy: failed requests", "", [running.report.failed], goal=Goal("value", 0)),
        Figure(f"{what}, never healthy: begun to said, beyond its grace of {GRACE_SECONDS} s", "s", said),
        Figure(f"{what}, never healthy: said to all on the old release", "s", back),
    ]


def main() -> None:
    figures = []
    for count in COUNTS:
        for strategy, more in STRATEGIES.items():
            what = f"{strategy}, {count}"
            with site(count, strategy=strategy, deploy=more, health=HEALTH) as place:
                place("up", "-e", "staging")
                place("up", "-e", "beside")
                figures += [*good(place, count, what), *bad(place, what)]
    publish(
        "strategies",
        f"as each line says; {RATE:g} requests/s, {WINDOWS} windows of each kind, pooled",
        figures,
    )


if __name__ == "__main__":
    main()
