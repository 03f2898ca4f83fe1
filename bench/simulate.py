"""Random faults against the fleet, for as many simulated hours as asked: `python -m bench.simulate --hours 1000`.

Prints simulated hours and faults, and simulated hours per second; ends with 1 at the first invariant that didn't hold,
with the command that plays it again. Its first seed is the one after the last of the run before, so that each run sees
something new."""

import argparse
import json
import logging
import sys
import time

from bench.site import RESULTS, Figure, Goal, publish
from tests.unit.simulation import test_deployments, test_random

LAST_SEED = "the last seed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--hours", type=float, default=100.0, help="simulated, all together; of one seed: its own")
    parser.add_argument("--deployments", action="store_true", help="most faults befall deployments, by every strategy")
    asked = parser.parse_args()
    simulated = test_deployments.simulated if asked.deployments else test_random.simulated
    logging.getLogger("homeport.control").disabled = True
    first = next_seed(result_of(asked.deployments)) if asked.seed is None else asked.seed
    began, hours, faults, crashes, seed = time.monotonic(), 0.0, 0, 0, first
    last, spent = first, 0.0
    while hours < asked.hours:
        each = asked.hours if asked.seed is not None else 24.0
        result = simulated(seed, each)
        hours, faults, crashes = hours + result.seconds / 3600, faults + result.faults, crashes + result.crashes
        spent = time.monotonic() - began
        print(f"seed {seed}: {hours:.1f} h, {faults} faults, {crashes} crashes, {hours / spent:.2f} h/s", flush=True)
        if result.problems:
            print(*result.problems, sep="\n")
            more = " --deployments" * asked.deployments
            print(f"again: python -m bench.simulate --seed {seed} --hours {each:g}{more}")
            return 1
        last, seed = seed, seed + 1
    if asked.seed is None:
        publish(
            result_of(asked.deployments),
            "none",
            [
                Figure("simulated hours, a day for each seed", "h", [hours]),
                Figure("faults injected", "", [faults]),
                Figure("crashes of the control plane among them", "", [crashes]),
                Figure("invariants that didn't hold", "", [0], goal=Goal("value", 0)),
                Figure("simulated hours per second", "h/s", [hours / spent]),
                Figure(LAST_SEED, "", [last]),
            ],
        )
    return 0


def result_of(deployments: bool) -> str:
    return "simulate_deployments" if deployments else "simulate"


def next_seed(name: str) -> int:
    """The one after the last that was run and kept."""
    try:
        figures = json.loads((RESULTS / f"{name}.json").read_text())["figures"]
    except FileNotFoundError:
        return 0
    return 1 + next(int(each["value"]["median"]) for each in figures if each["what"] == LAST_SEED)


if __name__ == "__main__":
    sys.exit(main())
