"""`homeport ps`, as typed."""

import subprocess
import sys
import time

from bench.site import Figure, Goal, publish, site

RUNS = 15
FLOOR = (sys.executable, "-c", "import click, msgspec")


def main() -> None:
    asked, floor = [], []
    with site(3) as place:
        place("up")
        for _ in range(RUNS):
            begun = time.monotonic()
            subprocess.run(FLOOR, check=True)
            floor.append(time.monotonic() - begun)
            begun = time.monotonic()
            place("ps")
            asked.append(time.monotonic() - begun)
    publish(
        "ps",
        "Python that imports click and msgspec, and ends",
        [Figure("homeport ps, 3 instances", "s", asked, floor, Goal("value", 0.15))],
    )


if __name__ == "__main__":
    main()
