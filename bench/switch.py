"""A one-line change under load: from the commit until no answer comes from the old release any more, against the same
processes started by hand under the same load. Build and publishing apart, the verdict apart."""

import os
import threading
import time
from datetime import datetime
from itertools import pairwise

from bench.site import Figure, Site, by_hand, publish, site
from homeport.system.clock import pause

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
RATE = float(os.environ.get("BENCH_RATE", "417"))
INSTANCES = 3
LOOK_SECONDS = 0.002
STEPS = ("Started", "Prepared", "Switched", "Baking", "Ended")


class Deploy:
    """One deploy, in seconds since the epoch. `steps`: entries of the journal → when. `last_old`: when the last answer
    of the old release had come."""

    def __init__(self, place: Site) -> None:
        old = place.release().split()[0]
        place.commit()
        self.begun = self.last_old = time.time()
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                if place.release().split()[0] == old:
                    self.last_old = time.time()
                pause(LOOK_SECONDS)

        looking = threading.Thread(target=look)
        looking.start()
        place("deploy")
        self.ended = time.time()
        over.set()
        looking.join()
        entries = place.document("deployment", "list")["deployments"]
        newest = max(each["number"] for each in entries)
        shown = place.document("deployment", "show", str(newest))
        self.steps = {each["type"]: datetime.fromisoformat(each["at"]).timestamp() for each in shown["entries"]}

    @property
    def switching(self) -> float:
        """Seconds from the deployment's begin until all traffic was on the new release."""
        return self.last_old - self.steps["Started"]

    @property
    def building(self) -> float:
        """Seconds from the commit until the deployment's begin."""
        return self.steps["Started"] - self.begun


def main() -> None:
    deploys, controls = [], []
    with site(INSTANCES) as place:
        place("up")
        with place.load(RATE) as running:
            for _ in range(RUNS):
                controls.append(by_hand(place.app, INSTANCES))
                deploys.append(Deploy(place))
        assert running.report.failed == 0, running.report.said
    publish(
        "switch",
        f"three processes started by hand at once, until each has answered 200, under the same {RATE:g} requests/s",
        [
            Figure(
                "deployment's begin to all traffic on the new release",
                "s",
                [each.switching for each in deploys],
                controls,
                "ratio ≤ 1.2",
            ),
            Figure(
                "commit to the deployment's begin: build, publish", "s", [each.building for each in deploys], (), "≤ 1"
            ),
            Figure("commit to the verdict (bake 1 s)", "s", [each.ended - each.begun for each in deploys], ()),
            *(
                Figure(f"{a} to {b}, by the journal", "s", [each.steps[b] - each.steps[a] for each in deploys], ())
                for a, b in pairwise(STEPS)
            ),
        ],
    )


if __name__ == "__main__":
    main()
