"""The object store as the control loop sees it, and who looks at what is written there and done: the invariants of
deployments. Used by `simulation.world`."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from homeport.control.deployment import AppControl
from homeport.control.journal import Journals
from homeport.control.log import FencedLog
from homeport.errors import Unavailable
from homeport.model.action import Action
from homeport.model.asked import Suspendable
from homeport.model.deployment import Ended, Entry, Verdict
from homeport.model.fleet import Observation, Task
from homeport.plan.desired import size
from homeport.plan.journal import fold
from homeport.plan.lease import fence_of, read_lease, sequence_of
from homeport.simulation.deployment import (
    ACTIONS,
    ENTRIES,
    Acting,
    Written,
    current_is_the_last_good,
    the_journal_replays_to_the_same,
)
from homeport.simulation.store import MemoryObjects

if TYPE_CHECKING:
    from homeport.simulation.world import World

_JOURNAL = re.compile(r".*/deployments/(\d+)/")


class Judge:
    """`store`: dies and is away when the world says so; `raw`: the same objects, as they are."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.store = _Objects(world.clock.now, before=self.access)
        self.store.created = self.created
        self.raw = self.store.quiet()
        self.away = False
        self.good: int | None = None
        """The last release that was."""
        self._fresh = False
        """Something was written since the last look."""

    def access(self, what: str) -> None:
        if self.away:
            raise Unavailable("the store doesn't answer")
        if what in ("create", "delete"):
            self.world.point()

    def lease(self) -> int:
        """The newest fence that there is."""
        return read_lease(self.raw.list(f"{self._prefix}lease/")).fence

    @property
    def _prefix(self) -> str:
        return f"{self.world.app}/{self.world.place.name}/"

    def created(self, key: str) -> None:
        """If it is an entry of a journal: whether it may stand there."""
        match = _JOURNAL.match(key)
        if match is None or sequence_of(key) == 0:
            return
        self._fresh = True
        number, shown = int(match[1]), self.world.shown
        if shown is None:
            return
        entries = [msgspec.json.decode(each, type=Entry) for each in FencedLog(self.raw, match[0]).entries()]
        before = fold(entries[:-1]) if len(entries) > 1 else None
        asked = self.world.memory.asked(self.world.place.id)
        written = Written(
            entry=entries[-1],
            before=before,
            shown=shown,
            balanced={each.name: each.balanced for each in self.world.formation.groups},
            fence=fence_of(key),
            lease=self.lease(),
            task=None if before is None else self._task(before.task_id),
            lasting=frozenset(each.group for each in asked.groups if Suspendable.TERMINATE in each.suspended),
            sizes={each.name: size(each, asked.sizes(self.world.app)) for each in self.world.formation.groups},
        )
        for holds in ENTRIES:
            if problem := holds(written):
                self.world.problem(holds.__name__, f"deployment {number}: {problem}")
        if isinstance(written.entry, Ended) and written.entry.verdict is Verdict.GOOD and before is not None:
            self.good = before.started.release

    def _task(self, id_: str) -> Task | None:
        known = self.world.memory.places[self.world.place.id].tasks.get(id_)
        return None if known is None else known.seen(id_, self.world.clock.now())

    def action(self, action: Action, shown: Observation, fence: int, done: tuple[Action, ...]) -> None:
        asked = self.world.memory.asked(self.world.place.id)
        tasks = self.world.memory.places[self.world.place.id].tasks
        acting = Acting(
            action=action,
            shown=shown,
            deployment=self.world.app_control().deployment,
            formation=self.world.formation,
            fence=fence,
            lease=self.lease(),
            standby=frozenset(each.instance for said in asked.groups for each in said.standby),
            begun=frozenset(tasks),
            done=done,
        )
        for holds in ACTIONS:
            if problem := holds(acting):
                self.world.problem(holds.__name__, f"{problem} ({action!r})")

    def look(self, app: AppControl) -> None:
        """After a tick in which something was written."""
        if not self._fresh or not app.loaded:
            return
        self._fresh = False
        if app.lease.fence == self.lease() and app.deployment is not None:
            journals = Journals(self.raw, app.app, app.place.name)
            replayed = fold(journals.read(journals.newest()))
            if problem := the_journal_replays_to_the_same(app.deployment, replayed):
                self.world.problem("the_journal_replays_to_the_same", problem)
        if app.active or app.unfinished or self.away:
            self._fresh = True
            return
        pointed = FencedLog(self.raw, f"{self._prefix}current/").newest()
        current = None if pointed is None else msgspec.json.decode(pointed)["release"]
        if problem := current_is_the_last_good(current, self.good):
            self.world.problem("current_is_the_last_good", problem)


class _Objects(MemoryObjects):
    created: Callable[[str], None]

    def create(self, key: str, data: bytes) -> None:
        super().create(key, data)
        self.created(key)
