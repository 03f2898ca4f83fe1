"""Cleaning: what nothing needs goes from the store and from the machine, after each good verdict, every ten minutes
(the machine) and every day (the store too), and when somebody asks. Rules: `plan.retention`, `plan.remains`.

A thread of its own, beside the loop; only what is needed is asked for under the loop's lock. A store that is away is
cleaned another time.
"""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta

from msgspec import Struct

from homeport.errors import HomeportError
from homeport.model.retention import Cleaned, Kept, Removal, Sweep, Usage
from homeport.plan.remains import plan_remains
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine, Needed
from homeport.ports.objects import ObjectStore
from homeport.releases.prune import Pruner

log = logging.getLogger("homeport.retention")
FIRST_SECONDS = 60.0
MACHINE_SECONDS = 600.0
STORE_SECONDS = 86400.0
AFTER_VERDICT_SECONDS = 2.0
MEASURE_SECONDS = 3600.0
ROUNDS = 3
"""What names goes first, and what it named in the next round."""


class Demand(Struct, frozen=True, kw_only=True):
    """What must stay, as control knows it. `deployments`: as `ports.engine` has it. `store`: app → environment →
    releases. `logs`: environment → for how long those of ended instances are kept."""

    deployments: Needed
    store: dict[str, dict[str, frozenset[int]]]
    logs: dict[str, timedelta]


class Cleaner:
    """`demand` is asked anew each time."""

    def __init__(self, engine: Engine, store: ObjectStore, clock: Clock, demand: Callable[[], Demand]) -> None:
        self.engine = engine
        self.demand = demand
        self.clock = clock
        self.pruner = Pruner(store, clock, self._of_app)
        self.usage: Usage | None = None
        """As last measured; None: not yet."""
        self._one_at_a_time = threading.Lock()
        self._asked = threading.Event()
        self._ended = threading.Event()
        self._problem = ""

    # --- when ---------------------------------------------------------------------------------------------------------

    def after_verdict(self) -> None:
        """Soon: a release has become good, so an older one may go."""
        self._asked.set()

    def run(self) -> None:
        """Until `end`."""
        seconds = self.clock.monotonic
        store_at, measure_at = seconds() + FIRST_SECONDS, seconds()
        while not self._ended.is_set():
            if seconds() >= measure_at:
                self._guarded(self._measure)
                measure_at = seconds() + MEASURE_SECONDS
            if self._asked.wait(max(0.0, min(MACHINE_SECONDS, store_at - seconds()))):
                self._ended.wait(AFTER_VERDICT_SECONDS)
                self._asked.clear()
                store_at = seconds()
            if self._ended.is_set():
                return
            whole = seconds() >= store_at
            self._guarded(lambda whole=whole: self._complain(self.clean(store=whole)))  # type: ignore[misc]
            if whole:
                store_at = seconds() + STORE_SECONDS

    def end(self) -> None:
        self._ended.set()
        self._asked.set()

    # --- what ---------------------------------------------------------------------------------------------------------

    def clean(self, *, dry_run: bool = False, store: bool = True) -> Cleaned:
        """What went. One at a time: who comes second waits, and finds nothing left."""
        with self._one_at_a_time:
            problems: list[str] = []
            if store and not dry_run:
                self.engine.make_room()  # a claim is written before anything is deleted
            # Files first: they make room without needing any, as everything else does on a full disk.
            machine = self._machine(dry_run, problems)
            swept = self._store(dry_run, problems) if store else {}
            if not dry_run:
                machine = _both(machine, self._machine(dry_run, problems)) if problems else machine
                self._try(self.engine.compact, problems)
                if store:
                    self._guarded(self._measure)
            return Cleaned(dry_run=dry_run, store=swept, machine=machine, problems=tuple(dict.fromkeys(problems)))

    def _store(self, dry_run: bool, problems: list[str]) -> dict[str, Sweep]:
        swept: dict[str, Sweep] = {}
        apps: list[str] = []
        self._try(lambda: apps.extend(self.pruner.apps()), problems)
        for app in apps:

            def one(app: str = app) -> None:
                swept[app] = self.pruner.plan(app) if dry_run else self.pruner.prune(app)

            self._try(one, problems)
        return swept

    def _machine(self, dry_run: bool, problems: list[str]) -> Sweep:
        gone: list[Removal] = []
        kept: tuple[Kept, ...] = ()
        for _ in range(1 if dry_run else ROUNDS):
            demand = self.demand()
            remains = {each.name: each for each in self.engine.remains(demand.deployments)}
            planned = plan_remains(remains.values(), demand.logs, self.clock.now())
            kept = planned.kept
            if dry_run:
                return planned
            removed: list[Removal] = []
            for each in planned.going:

                def one(each: Removal = each) -> None:
                    if self.engine.remove(remains[each.what], demand.deployments):  # noqa: B023 - called at once
                        removed.append(each)  # noqa: B023 - called at once

                self._try(one, problems)
            gone += removed
            if not removed:
                break
        return Sweep(going=tuple(gone), kept=kept)

    def _of_app(self, app: str) -> Mapping[str, Collection[int]]:
        return self.demand().store.get(app, {})

    def _measure(self) -> None:
        self.usage = self.engine.usage()

    def _complain(self, done: Cleaned) -> None:
        """Each problem once, not every ten minutes."""
        said = "; ".join(done.problems)
        if said and said != self._problem:
            log.warning("not everything could be cleaned up: %s", said)
        self._problem = said
        count = len(done.machine.going) + sum(len(each.going) for each in done.store.values())
        if count:
            log.info("cleaned up: %d things", count)

    def _guarded(self, call: Callable[[], None]) -> None:
        """The thread goes on whatever happens."""
        try:
            call()
        except Exception:
            log.exception("cleaning up failed")

    def _try(self, call: Callable[[], None], problems: list[str]) -> None:
        try:
            call()
        except HomeportError as error:
            problems.append(error.message)


def _both(first: Sweep, second: Sweep) -> Sweep:
    return Sweep(going=(*first.going, *second.going), kept=second.kept)
