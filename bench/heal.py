"""kill -9 of the whole tree of a group's only instance, until its replacement answers through the balancer; and the
requests that fail when one of three is killed."""

import os
import signal
import threading
import time
from collections.abc import Callable

from bench.site import Figure, Goal, Site, by_hand, publish, site, until
from homeport.system.clock import pause

RUNS = int(os.environ.get("BENCH_RUNS", "9"))
KILLS = 6
RATE = float(os.environ.get("BENCH_RATE", "417"))


EVERY_SECONDS = 0.01


def first_answer_after(ask: Callable[[], str], before: str) -> float:
    """Seconds until a request sent meanwhile, one every 10 ms, was answered by somebody else. A request that finds
    nobody waits a second in HAProxy before it tries again, so one alone would measure that."""
    begun = time.monotonic()
    answered: list[float] = []

    def once() -> None:
        if ask() not in ("", before):
            answered.append(time.monotonic() - begun)

    asking = []
    while not answered:
        asking.append(threading.Thread(target=once))
        asking[-1].start()
        pause(EVERY_SECONDS)
    for each in asking:
        each.join()
    return min(answered)


def killed_under_load() -> tuple[int, int]:
    """(requests, failed ones) while one instance after the other is killed: such requests as may be repeated."""
    with site(3) as place:
        place("up")
        with place.load(RATE, methods="GHO") as running:
            for _ in range(KILLS):
                place.commit()
                place("deploy")
                victim = next(each for each in place.instances() if each["state"] == "InService")
                os.kill(victim["pid"], signal.SIGKILL)
                until(lambda gone=victim["id"]: _whole_again(place, gone))
        return running.report.said.sent, running.report.failed


def _whole_again(place: Site, gone: str) -> bool:
    live = [each for each in place.instances() if each["state"] == "InService"]
    return len(live) == 3 and gone not in {each["id"] for each in live}


def main() -> None:
    healed, boots = [], []
    with site(1) as place:
        place("up")
        for _ in range(RUNS):
            boots.append(by_hand(place, 1))
            # Of a release of its own: deaths in a row are a launch loop, and each replacement is put off for longer.
            place.commit()
            place("deploy")
            until(lambda: len(place.instances()) == 1)
            (victim,) = place.instances()
            before = place.release()
            os.kill(victim["pid"], signal.SIGKILL)
            healed.append(first_answer_after(place.release, before))
    sent, failed = killed_under_load()
    publish(
        "heal",
        "the app's process, started by hand, until it answers 200",
        [
            Figure("kill -9 to the replacement's first 200", "s", healed, boots, Goal("difference", 0.1)),
            Figure(f"{KILLS} of 3 instances killed in turn: requests (GET, HEAD, OPTIONS)", "", [sent]),
            Figure("of these failed", "", [failed], goal=Goal("value", 0)),
        ],
    )


if __name__ == "__main__":
    main()
