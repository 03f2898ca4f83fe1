"""kill -9 of the whole tree of a group's only instance, until its replacement answers through the balancer."""

import os
import signal
import threading
import time

from bench.site import Figure, Site, by_hand, publish, site, until
from homeport.system.clock import pause

RUNS = 9


EVERY_SECONDS = 0.01


def first_answer_after(place: Site, before: str) -> float:
    """Seconds until a request sent meanwhile, one every 10 ms, was answered by somebody else. A request that finds
    nobody waits a second in HAProxy before it tries again, so one alone would measure that."""
    begun = time.monotonic()
    answered: list[float] = []

    def ask() -> None:
        if place.release() not in ("", before):
            answered.append(time.monotonic() - begun)

    asking = []
    while not answered:
        asking.append(threading.Thread(target=ask))
        asking[-1].start()
        pause(EVERY_SECONDS)
    for each in asking:
        each.join()
    return min(answered)


def main() -> None:
    healed, boots = [], []
    with site(1) as place:
        place("up")
        for _ in range(RUNS):
            boots.append(by_hand(place.app, 1))
            # One that ends in peace, or the next death would be the second in a row: its replacement is put off.
            place("scale", "web=2")
            place("scale", "web=1")
            until(lambda: len(place.instances()) == 1)
            (victim,) = place.instances()
            before = place.release()
            os.kill(victim["pid"], signal.SIGKILL)
            healed.append(first_answer_after(place, before))
    publish(
        "heal",
        "the app's process, started by hand, until it answers 200",
        [Figure("kill -9 to the replacement's first 200", "s", healed, boots, "difference ≤ 0.1 s")],
    )


if __name__ == "__main__":
    main()
