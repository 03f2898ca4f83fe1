"""Drives the deployments of one app in one environment: journal, lease, pointers. Decisions: `plan.deployment`.

Called by `control.environment` at every tick, by `control.control` for requests.
"""

import contextlib
import threading
from datetime import datetime, timedelta

from homeport.control.alarm import Alarms
from homeport.control.diagnosis import complete
from homeport.control.journal import Journals
from homeport.control.lease import Lease
from homeport.control.measure import Measure
from homeport.control.opening import Opening, Wish
from homeport.control.pointer import Pointers
from homeport.control.word import Word, Words
from homeport.errors import Conflict, HomeportError, NotAllowed, NotFound, Unavailable
from homeport.model.action import Prepare
from homeport.model.deployment import Continued, Deployment, Ended, Entry, Evidence, Phase, Reverting, Started, Verdict
from homeport.model.event import Decided, Event
from homeport.model.fleet import Observation
from homeport.model.platform import Place, Resolved
from homeport.model.release import Release
from homeport.plan.asked import refuse_suspended
from homeport.plan.deployment import next_steps
from homeport.plan.deployment_view import Step, balanced_groups
from homeport.plan.journal import apply, fold, kept_until_at
from homeport.plan.release import release_key
from homeport.plan.way_back import aborted
from homeport.plan.words import in_words
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.releases.hold import holding
from homeport.releases.publish import check_parts

RETRY = timedelta(seconds=1)
"""How soon somebody else's lease, or a store that was away, is asked for again; and what others say is asked for."""


class AppControl:
    """One app in one environment. Not thread-safe: its owner holds a lock, except for `beat`."""

    def __init__(
        self, app: str, place: Place, *, engine: Engine, store: ObjectStore, clock: Clock, holder: str
    ) -> None:
        self.app = app
        self.place = place
        self.engine = engine
        self.store = store
        self.clock = clock
        self.lease = Lease(store, app, place.name, holder=holder, clock=clock)
        self.catalogue = Catalogue(store)
        self.journals = Journals(store, app, place.name)
        self.deployment: Deployment | None = None
        self.entries: tuple[Entry, ...] = ()
        self.waits_for = ""
        self.loaded = False
        self.unfinished = False
        """It has ended, but what follows its end was interrupted."""
        self.resolved: dict[int, Resolved] = {}
        self._wake_at: datetime | None = None
        self._heard_at: float | None = None
        self._beating = threading.Lock()
        self.pointers = Pointers(app, place, engine=engine, store=store, lease=self.lease)
        self.measure = Measure(place, engine)
        self.alarms = Alarms(place, engine, clock)
        self.words = Words(store, app, place.name)

    @property
    def active(self) -> bool:
        return self.deployment is not None and self.deployment.phase is not Phase.ENDED

    @property
    def goes_back(self) -> bool:
        return self.deployment is not None and self.deployment.phase is Phase.REVERTING

    def fence(self, observed: Observation) -> int:
        """Under which its fleet is kept: its own, or where no deployment goes on and it never had one, the engine's."""
        return self.lease.fence or (0 if self.active else observed.fence.get(self.app, 0))

    # --- reading ------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """The newest deployment, from its journal; one that hasn't ended is continued under a new lease. Raises
        `Unavailable` where the store doesn't answer: nothing is known then, and nothing done."""
        if self.loaded:
            return
        self._read_newest()
        self.unfinished = not self.active and self.lease.was_left()
        self.loaded = True

    def _read_newest(self) -> None:
        self.pointers.forget()
        number = self.journals.newest()
        if number:
            self.entries = self.journals.read(number)
            self.deployment = fold(self.entries)

    def release(self, number: int) -> Release:
        """From the engine's memory, else from the store. Raises `NotFound`, `Unavailable`."""
        found = self.engine.release(self.place.id, self.app, number)
        return found if found is not None else self.catalogue.get(self.app, self.place.name, number)

    def resolve(self, *numbers: int | None) -> dict[int, Resolved]:
        """The resolved platform files of these releases, kept."""
        for number in numbers:
            if number is not None and number not in self.resolved:
                self.resolved[number] = self.release(number).resolved
        return self.resolved

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, release: Release, observed: Observation, wish: Wish) -> int:
        """Number of the deployment that has begun. Raises `Conflict` where one goes on, or the release runs already;
        `Failed` where the store lacks a part of it; `Unavailable` where the store doesn't answer, or isn't the one it
        was."""
        self.load()
        if self.unfinished and self._may_act():
            self._finish()
        self._refuse_second()
        previous = observed.launch.get(self.app)
        if previous == release.number:
            raise Conflict(
                f"{release.id} of {self.app} already runs in {self.place.name}",
                hint=f"homeport deploy --force -e {self.place.name}",
            )
        if previous is not None and self.store.size(release_key(self.app, self.place.name, previous)) is None:
            raise Unavailable(
                f"r{previous} of {self.app} runs in {self.place.name}, but isn't in the store: that was emptied, or is "
                "another one",
                hint="bring the store back (mount it, restore it); or homeport down, then up, to begin anew",
            )
        check_parts(self.store, release, "can't be deployed")
        refuse_suspended(self.engine.asked(self.place.id), release)
        fence = self.lease.take(wish.by)
        try:
            self._read_newest()  # others may have deployed since it was loaded
            self._refuse_second()
            opening = Opening(self.app, self.place, store=self.store, read=self.release)
            sizes = self.engine.asked(self.place.id).sizes(self.app)
            number = self.journals.newest() + 1
            started = opening.started(release, observed, wish, number=number, newest=self.deployment, sizes=sizes)
            # The engine first: who comes after us finds the journals of the apps that it knows.
            self.engine.admit(self.place.id, self.app, fence=fence)
            self._write_first(release, started, fence)
        except HomeportError:
            self._give_up()
            raise
        self.entries = (started,)
        self.deployment = fold(self.entries)
        if any(each.failed and (each.app, each.release) == (self.app, release.number) for each in observed.prepared):
            # what failed for an earlier deployment may have been mended since
            self.engine.execute(self.place.id, Prepare(app=self.app, release=release.number), fence=fence)
        self._note(f"deployment {started.number} of {release.id} begins: {wish.why}", "deployment_started")
        if wish.over_freeze:
            said = f"deployment {started.number}: {wish.by} overrides the freeze: {wish.over_freeze}"
            self._note(said, "freeze_overridden")
        return started.number

    def _refuse_second(self) -> None:
        if self.active and self.deployment is not None:
            started = self.deployment.started
            number = started.number
            raise Conflict(
                f"{self.app} in {self.place.name} is being deployed: deployment {number} of r{started.release} "
                f"by {started.by}, since {started.at:%H:%M:%S} UTC",
                hint=f"homeport deployment show {number} --follow, or homeport deployment abort {number}",
            )

    def _write_first(self, release: Release, started: Started, fence: int) -> None:
        """From its first entry on, a journal keeps its releases from being cleaned up."""
        key = release_key(self.app, self.place.name, release.number)
        with holding(self.store, self.app, (key,), patience_seconds=0):
            if self.store.size(key) is None:
                raise NotFound(f"{release.id} of {self.app} in {self.place.name} was just removed from the store")
            self.journals.append(started.number, started, fence=fence)

    def advance(self, observed: Observation) -> None:
        """As many steps as can be made from one observation; `waits_for` says what the next one needs. Raises what the
        store or the engine raise: the next call goes on from the journal."""
        self.load()
        if self.unfinished and self._may_act():
            self._finish()
        self._wake_at = None
        if not self.active:
            return
        try:
            may_act = self._may_act()
        except (Unavailable, NotAllowed):
            self.waits_for = "the store"
            raise
        if not may_act:
            self._wake_at = self.clock.now() + RETRY
            if self.engine.heals:
                self._read_newest()  # how far whoever drives it is
            return
        if self.engine.heals:
            self._hear()
        for _ in range(20):
            assert self.deployment is not None
            if self.deployment.phase is Phase.ENDED:
                break
            self.pointers.follow(self.deployment, observed)
            step = self._next_step(observed)
            self.waits_for, self._wake_at = step.waits_for, step.wake_at
            if step.entry is not None:
                entry = complete(step.entry, self.engine, self.place, observed, step.blames, self.resolved)
                self._write(entry, Decided(rule=step.rule, observed_at=observed.at))
                continue
            if step.action is not None:
                self.engine.execute(self.place.id, step.action, fence=self.lease.fence)
            break
        else:
            self._wake_at = self.clock.now()
        if not self.active:
            self._finish()

    def wake_in(self, decided_at: datetime) -> float | None:
        """Seconds until the next step may fall due by the clock alone, or what was kept aside ends. As the last
        `advance`, or the fleet's decision of `decided_at`, saw it: what fell due since then must wake, not wait for an
        event."""
        if self.deployment is None:
            return None
        wake_at = self._wake_at
        if not self.active:
            until_at = kept_until_at(self.deployment)
            wake_at = until_at if until_at is not None and until_at > decided_at else None
        return None if wake_at is None else max(0.0, (wake_at - self.clock.now()).total_seconds())

    def settle(self) -> None:
        """What follows the end of the newest deployment is done, also where whoever drove it died before that. Raises
        `Conflict` with `retry_after` while they may still be there."""
        self.load()
        if self.active or not (self.unfinished or self.lease.is_anothers()):
            return
        with self._beating:
            self._hold()
        if not self.active:
            self._finish()

    def abort(self, reason: str) -> None:
        """The deployment that goes on ends here, without a way back: the environment goes down."""
        self.load()
        if self.unfinished and self._may_act():
            self._finish()
        if self.active and self._may_act() and self.active:  # as the lease's journal has it
            evidence = Evidence(summary=reason)
            self._write(Ended(at=self.clock.now(), verdict=Verdict.ABORTED, evidence=evidence))
            self._finish()

    def turn_back(self, number: int | None, *, by: str, why: str) -> int:
        """The deployment that goes on is taken back, whatever it is doing: its number. `number`: the one that is meant.
        Where another process drives it, that is told to. Raises `Conflict` where none goes on, another one does, or it
        goes back already; `Unavailable` without the store, or without the lease where nobody else may drive."""
        going_on = self._going_on(number)
        started = going_on.started
        if going_on.phase is Phase.REVERTING:
            raise Conflict(
                f"deployment {started.number} of {self.app} goes back already",
                hint=f"homeport deployment show {started.number} --follow",
            )
        self._do(Word(said="abort", at=self.clock.now(), by=by, why=why))
        return started.number

    def go_on(self, number: int | None, *, by: str) -> int:
        """The deployment that waits at its gate goes on: its number. Raises as `turn_back`, and `Conflict` where it
        doesn't wait."""
        going_on = self._going_on(number)
        if not going_on.waits_at_gate:
            raise Conflict(
                f"deployment {going_on.started.number} of {self.app} doesn't wait for anybody",
                hint=f"homeport deployment show {going_on.started.number}",
            )
        self._do(Word(said="continue", at=self.clock.now(), by=by))
        return going_on.started.number

    def _do(self, word: Word) -> None:
        """By whoever has the lease."""
        assert self.deployment is not None
        if not self.lease.may_act:
            self.words.say(self.deployment.started.number, word)
        elif word.said == "abort":
            self._write(aborted(self.deployment, by=word.by, why=word.why, at=self.clock.now()))
        else:
            self._write(Continued(at=self.clock.now(), by=word.by))

    def _hear(self) -> None:
        """What others have said to the deployment is done, where it still fits. Not asked for at every tick."""
        assert self.deployment is not None
        now = self.clock.monotonic()
        if self._heard_at is not None and now - self._heard_at < RETRY.total_seconds():
            return
        self._heard_at = now
        for word in self.words.hear(self.deployment.started.number):
            fits = self.deployment.phase not in (Phase.REVERTING, Phase.ENDED)
            if fits and (word.said == "abort" or self.deployment.waits_at_gate):
                self._do(word)

    def _going_on(self, number: int | None) -> Deployment:
        """The deployment that goes on; with the lease for it, where nobody else can have it."""
        self.load()
        may_act = self.active and self._may_act()
        if not self.active or self.deployment is None:
            ended = self.deployment.ended if self.deployment is not None else None
            last = f": deployment {self.journals.newest()} ended {ended.verdict.value}" if ended is not None else ""
            raise Conflict(f"no deployment of {self.app} goes on in {self.place.name}{last}", hint="homeport rollback")
        started = self.deployment.started
        if number not in (None, started.number):
            raise Conflict(
                f"deployment {number} of {self.app} doesn't go on in {self.place.name}, {started.number} does",
                hint=f"homeport deployment show {started.number}",
            )
        if not may_act and not self.engine.heals:
            raise Unavailable(f"deployment {started.number} of {self.app} can't be changed now: {self.waits_for}")
        return self.deployment

    def beat(self) -> None:
        """A sign of life for the lease; called from a thread of its own."""
        with self._beating:
            self.lease.beat()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _may_act(self) -> bool:
        with self._beating:
            try:
                self._hold()
            except Conflict as error:
                self.waits_for = f"the lease: {error.message}"
                return False
            self.lease.beat()
            if not self.lease.may_act:
                self.waits_for = "the store"
            return self.lease.may_act

    def _hold(self) -> None:
        """The lease is ours. Raises `Conflict`."""
        if not self.lease.held:
            self.lease.take(f"{self.lease.holder}, continuing")
            self._read_newest()  # whoever had it may have ended this deployment, and begun others

    def _next_step(self, observed: Observation) -> Step:
        assert self.deployment is not None
        now = self.clock.now()
        measured_at, measured = self.measure.look(self.deployment, now)
        started = self.deployment.started
        resolved = self.resolve(started.release, started.previous)
        balanced = balanced_groups(started, resolved)
        return next_steps(
            self.deployment,
            observed,
            balanced,
            now,
            measured_at=measured_at,
            measured=measured,
            readings=self.alarms.look(self.deployment, balanced),
            resolved=resolved,
            sizes=self.engine.asked(self.place.id).sizes(self.app),
        )

    def _write(self, entry: Entry, decided: Decided | None = None) -> None:
        assert self.deployment is not None
        self.journals.append(self.deployment.started.number, entry, fence=self.lease.fence)
        self.entries = (*self.entries, entry)
        self.deployment = apply(self.deployment, entry)
        number = self.deployment.started.number
        match entry:
            case Reverting():
                what = "gives up" if self.deployment.started.previous is None else "goes back"
                self._note(f"deployment {number} {what}: {entry.evidence.summary}", "deployment_reverting", decided)
            case Ended():
                self.unfinished = True
                said = f"deployment {number}: {entry.verdict.value}: {entry.evidence.summary}"
                self._note(said, "deployment_ended", decided)
            case _:
                self._note(f"deployment {number}: {in_words(entry)}", "deployment_step", decided)

    def _give_up(self) -> None:
        """The lease of a deployment that never began is given back: now, or when the store answers again."""
        self.unfinished = True
        with contextlib.suppress(HomeportError):
            self._finish()

    def _finish(self) -> None:
        """After the last entry: `current` follows a good verdict, the lease ends."""
        ended = self.deployment.ended if self.deployment is not None else None
        if self.deployment is not None and self.lease.held:
            self.pointers.share_evenly(self.deployment)
        if self.deployment is not None and ended is not None and ended.verdict is Verdict.GOOD:
            self.pointers.move("current", self.deployment.started.release)
        with self._beating:
            self.lease.release()
        self.unfinished = False
        self.waits_for = ""

    def _note(self, message: str, kind: str, decided: Decided | None = None) -> None:
        self.engine.record(
            Event(
                at=self.clock.now(),
                environment=self.place.id,
                app=self.app,
                kind=kind,
                subject=self.app,
                message=message,
                decided=decided,
            )
        )
