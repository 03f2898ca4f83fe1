"""Random faults against the fleet, for as many simulated hours as asked: `python bench/simulate.py --hours 1000`.

Prints simulated hours and faults, and simulated hours per second; ends with 1 at the first invariant that didn't hold,
with the command that plays it again."""

import argparse
import logging
import sys
import time

from tests.unit.simulation import test_deployments, test_random


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--hours", type=float, default=100.0, help="simulated, all together; of one seed: its own")
    parser.add_argument("--deployments", action="store_true", help="most faults befall deployments, by every strategy")
    asked = parser.parse_args()
    simulated = test_deployments.simulated if asked.deployments else test_random.simulated
    logging.getLogger("homeport.control").disabled = True
    began, hours, faults, crashes, seed = time.monotonic(), 0.0, 0, 0, asked.seed or 0
    while hours < asked.hours:
        each = asked.hours if asked.seed is not None else 24.0
        result = simulated(seed, each)
        hours, faults, crashes = hours + result.seconds / 3600, faults + result.faults, crashes + result.crashes
        spent = time.monotonic() - began
        print(f"seed {seed}: {hours:.1f} h, {faults} faults, {crashes} crashes, {hours / spent:.2f} h/s", flush=True)
        if result.problems:
            print(*result.problems, sep="\n")
            print(
                f"again: python bench/simulate.py --seed {seed} --hours {each:g}{' --deployments' * asked.deployments}"
            )
            return 1
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
