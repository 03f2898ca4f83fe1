"""One tick's decisions for fleets of growing size, most of them well: `python bench/decide.py`. Processor time, best of
five, per tick of all groups; the goal is 50 ms for 10,000 instances in 200 groups."""

import time
from datetime import timedelta

from homeport.model.fleet import Check, Cohort
from homeport.plan.fleet import by_group, reconcile
from homeport.testing.builder import NOW, after, desired, instance, observation

SIZES = ((100, 2), (1_000, 20), (10_000, 200), (100_000, 2_000))


def fleet(instances: int, groups: int, *, troubled: bool):
    """`troubled`: one group of twenty has a sick instance."""
    each, seen, wanted = instances // groups, [], []
    for number in range(groups):
        name = f"g{number}"
        wanted.append(desired(Cohort(release=1, count=each), name=name, max=2 * each, drain=timedelta(seconds=30)))
        for ordinal in range(1, each + 1):
            sick = troubled and number % 20 == 0 and ordinal == 1
            ill = {"check": Check.UNHEALTHY, "check_since_at": after(-30)} if sick else {}
            seen.append(instance(f"{name}-{ordinal}", zone="abc"[ordinal % 3], **ill))
    return wanted, observation(*seen)


def tick(wanted, seen) -> float:
    began = time.process_time()
    members = by_group(seen)
    for group in wanted:
        reconcile(group, seen, NOW, members[group.app, group.name])
    return time.process_time() - began


def main() -> None:
    print(f"{'instances':>9} {'groups':>6} {'at rest':>10} {'1 in 20 groups troubled':>24}")
    for instances, groups in SIZES:
        figures = []
        for troubled in (False, True):
            wanted, seen = fleet(instances, groups, troubled=troubled)
            figures.append(1000 * min(tick(wanted, seen) for _ in range(5)))
        print(f"{instances:>9} {groups:>6} {figures[0]:>7.1f} ms {figures[1]:>21.1f} ms")


if __name__ == "__main__":
    main()
