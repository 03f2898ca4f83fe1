"""As `zero`, at what two cores bear: thousands of requests a second, on a backend that is light enough."""

import os

from bench.site import publish
from bench.zero import strategies

RATE = float(os.environ.get("BENCH_MOST", "5000"))
SECONDS = float(os.environ.get("BENCH_MOST_SECONDS", "60"))


def main() -> None:
    publish("most", "none", strategies("light", RATE, int(RATE * SECONDS)))


if __name__ == "__main__":
    main()
