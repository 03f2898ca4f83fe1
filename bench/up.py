"""`homeport up` with warm caches, and `homeport deploy`, against the same processes started by hand."""

import time

from bench.site import Figure, Site, by_hand, publish, site, until

RUNS = 5
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


def deploy(place: Site) -> float:
    """Seconds from the commit until no answer comes from the old release any more."""
    old = place.release().split()[0]
    place.commit()
    begun = last_old = time.monotonic()
    command = place.begin("deploy")
    while command.poll() is None:
        if place.release().split()[0] == old:
            last_old = time.monotonic()
    assert command.returncode == 0
    return last_old - begun


def main() -> None:
    firsts, totals, ones, deploys, threes = [], [], [], [], []
    with site(INSTANCES) as place:
        place("up")
        place("down", "--yes")
        for _ in range(RUNS):
            ones.append(by_hand(place.app, 1))
            first, total = up(place)
            firsts.append(first)
            totals.append(total)
        place("up")
        for _ in range(RUNS):
            threes.append(by_hand(place.app, INSTANCES))
            deploys.append(deploy(place))
    publish(
        "up",
        "the app's own processes, started by hand, until they answer 200 (one of them for up, three for deploy)",
        [
            Figure("up: first 200, engine not running before", "s", firsts, ones),
            Figure("up: command ended (bake 1 s)", "s", totals, ones),
            Figure("deploy: commit to all traffic, 3 instances", "s", deploys, threes),
        ],
    )


if __name__ == "__main__":
    main()
