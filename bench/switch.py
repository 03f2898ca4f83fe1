"""A one-line change under load: from the commit until no answer comes from the old release any more, against the same
processes started by hand under the same load. Build and publishing apart, the verdict apart."""

import os
import time
from itertools import pairwise

from bench.rate import Report
from bench.site import Figure, Goal, Site, by_hand, publish, site

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
INSTANCES = 3
APPS = ("plain", "wsgi")
"""One that boots in no time, so that what is left is ours; one of some size, under gunicorn."""
STEPS = ("Started", "Prepared", "Switched", "Baking", "Ended")


class Deploy:
    """One deploy, in seconds since the machine's start. `steps`: entries of the journal → when. `old`: the release that
    is replaced."""

    def __init__(self, place: Site) -> None:
        self.old = place.release().split()[0]
        place.commit()
        self.begun = time.monotonic()
        place("deploy")
        self.ended = time.monotonic()
        self.steps = place.newest()

    @property
    def building(self) -> float:
        """Seconds from the commit until the deployment's begin."""
        return self.steps["Started"] - self.begun

    def switching(self, load: Report) -> float:
        """Seconds from the deployment's begin until the last answer of the old release had come."""
        return load.said.last_us[self.old] / 1e6 - self.steps["Started"]


def measured(app: str) -> list[Figure]:
    deploys, controls = [], []
    with site(INSTANCES, app=app) as place:
        place("up")
        with place.load(RATE) as running:
            for _ in range(RUNS):
                controls.append(by_hand(place, INSTANCES))
                deploys.append(Deploy(place))
        assert running.report.failed == 0, running.report.said
    boots = [each.switching(running.report) for each in deploys]
    return [
        Figure(f"{app}: deployment begun to all traffic on the new release", "s", boots, controls, Goal("ratio", 1.2)),
        Figure(
            f"{app}: commit to deployment begun (build, publish)",
            "s",
            [d.building for d in deploys],
            goal=Goal("value", 1),
        ),
        Figure(f"{app}: commit to verdict (bake 1 s)", "s", [each.ended - each.begun for each in deploys]),
        *(
            Figure(f"{app}: {a} to {b}, by the journal", "s", [each.steps[b] - each.steps[a] for each in deploys])
            for a, b in pairwise(STEPS)
        ),
    ]


def main() -> None:
    publish(
        "switch",
        f"three processes started by hand at once, until each has answered 200, under the same {RATE:g} requests/s",
        [figure for app in APPS for figure in measured(app)],
    )


if __name__ == "__main__":
    main()
