"""`homeport up` with warm caches, against the same process started by hand."""

import os
import time

from bench.site import Figure, Goal, Site, by_hand, publish, site, until

RUNS = int(os.environ.get("BENCH_RUNS", "7"))
INSTANCES = 3


def up(place: Site) -> tuple[float, float]:
    """Seconds until the first 200, and until the command ends, the engine being down before."""
    begun = time.monotonic()
    command = place.begin("up")
    first = until(place.release)
    assert command.wait() == 0
    total = time.monotonic() - begun
    place("down", "--yes")
    return first, total


def main() -> None:
    firsts, totals, boots = [], [], []
    with site(INSTANCES) as place:
        place("up")
        place("down", "--yes")
        for _ in range(RUNS):
            boots.append(by_hand(place, 1))
            first, total = up(place)
            firsts.append(first)
            totals.append(total)
    publish(
        "up",
        "the app's own process, started by hand, until it answers 200",
        [
            Figure("up: first 200, engine not running before", "s", firsts, boots, Goal("difference", 1)),
            Figure("up: command ended (bake 1 s)", "s", totals, boots),
        ],
    )


if __name__ == "__main__":
    main()
