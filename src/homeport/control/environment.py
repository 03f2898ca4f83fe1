"""One environment's tick: observe → decide → execute → record. Called by `control.control`."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from msgspec import Struct

from homeport.control.deployment import AppControl
from homeport.control.note import Notes
from homeport.errors import HomeportError, Unavailable
from homeport.model.action import Decision, Launch, Plan
from homeport.model.asked import Asked
from homeport.model.breaker import BreakerState
from homeport.model.event import Event
from homeport.model.fleet import GroupDesired, Observation, State
from homeport.model.platform import Place, Resolved, Retention
from homeport.plan import pool, task
from homeport.plan.asked import outstanding
from homeport.plan.desired import desired_groups
from homeport.plan.fleet import Members, by_group, reconcile
from homeport.plan.route import Holder
from homeport.plan.session import ending
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore

RETRY_SECONDS = 1.0
log = logging.getLogger("homeport.control")


class Needs(Struct, frozen=True, kw_only=True):
    """App → releases that its newest deployment names; app → these and what runs; how long logs are kept."""

    deployments: dict[str, frozenset[int]]
    releases: dict[str, frozenset[int]]
    logs: timedelta


class Care(Struct, frozen=True, kw_only=True):
    """How a group fares beyond its instances. `notes`: what isn't done, and why. `breakers`: those that aren't
    closed. `cycle_stopped`: why a cycle doesn't go on."""

    notes: tuple[str, ...] = ()
    breakers: tuple[BreakerState, ...] = ()
    cycle_stopped: str = ""


class EnvironmentControl:
    """All apps of one environment. Not thread-safe: its owner holds a lock."""

    def __init__(self, place: Place, *, engine: Engine, store: ObjectStore, clock: Clock, holder: str) -> None:
        self.place = place
        self.engine = engine
        self.store = store
        self.clock = clock
        self.holder = holder
        self.apps: dict[str, AppControl] = {}
        self.reasons: dict[str, str] = {}
        """Instance or group → why it is as it is, from the last tick."""
        self.care: dict[tuple[str, str], Care] = {}
        """(app, group) → what else the last tick found."""
        self.notes = Notes(place.id)
        self.trouble = ""
        """Why the last tick couldn't do everything; empty: it could."""
        self._said = ""
        """The trouble that was logged last: it may come again every second."""
        self.closed = False

    def app(self, name: str) -> AppControl:
        if name not in self.apps:
            self.apps[name] = AppControl(
                name, self.place, engine=self.engine, store=self.store, clock=self.clock, holder=self.holder
            )
        return self.apps[name]

    def observe(self) -> Observation:
        return self.engine.observe(self.place.id)

    def holders(self) -> list[Holder]:
        """The releases whose routes hold, or are about to; those of a deployment that goes on, both. Raises
        `Unavailable` where one can't be read."""
        observed = self.observe()
        found = []
        for name in sorted((set(observed.routes) | set(observed.launch) | set(observed.fence)) - observed.leaving):
            app = self.app(name)
            app.load()
            said = [observed.routes.get(name), observed.launch.get(name)]
            if app.active and app.deployment is not None:
                said += [app.deployment.started.release, app.deployment.started.previous]
            numbers = sorted({each for each in said if each is not None})
            known = app.resolve(*numbers)
            found += [Holder(release=f"r{each}", resolved=known[each]) for each in numbers]
        return found

    def tick(self) -> float | None:
        """Seconds until it must look again at the latest; None: only when something changes."""
        self.trouble = ""
        observed = self.observe()
        for event in self.notes.see(observed):
            self.engine.record(event)
        names = {each.app for each in observed.instances} | {each.app for each in observed.capacity}
        names |= set(observed.fence) | set(self.apps)
        wakes: list[float] = []
        for name in sorted(names):
            app = self.app(name)
            self._guarded(partial(self._deploy, app, observed))
            now = self.clock.now()
            wakes += self._keep(app, observed, now)
            if (wake := app.wake_in(now)) is not None:
                wakes.append(wake)
        for name in observed.leaving:
            self._guarded(partial(self._forget, name, observed, wakes))
        if observed.closing and not self._end_oneoffs(observed, wakes) and _all_ended(observed):
            self.engine.close_environment(self.place.id)
            self.closed = True
        return min(wakes + ([RETRY_SECONDS] if self.trouble else []), default=None)

    def _forget(self, name: str, observed: Observation, wakes: list[float]) -> None:
        """An app that leaves is gone once nothing of it runs."""
        mine = [each for each in observed.instances if each.app == name]
        if not self._end_oneoffs(observed, wakes, name) and all(each.state is State.TERMINATED for each in mine):
            self.engine.forget_app(self.place.id, name)
            self.apps.pop(name, None)

    def _end_oneoffs(self, observed: Observation, wakes: list[float], app: str | None = None) -> bool:
        """Whether a task of a deployment, or what people run, still goes on; both end with the environment, or with
        `app`."""
        tasks = [each for each in observed.tasks if not each.ended and app in (None, each.app)]
        for each in tasks:
            action, wake_at = task.ending(each, observed.at)
            if action is not None:
                fence = self.app(each.app).fence(observed)
                self._guarded(partial(self.engine.execute, self.place.id, action, fence=fence))
            if wake_at is not None:
                wakes.append(_seconds(wake_at, observed.at))
        return self._end_sessions(wakes, app) or bool(tasks)

    def _end_sessions(self, wakes: list[float], app: str | None) -> bool:
        """Whether anything that people run still goes on; it ends with the environment, or with `app`."""
        now = self.clock.now()
        sessions = [each for each in self.engine.sessions(self.place.id) if app in (None, each.app)]
        ends, wake_at = ending(sessions, now)
        for each in ends:
            self._guarded(partial(self.engine.end_session, self.place.id, each.session, by_force=each.by_force))
        if wake_at is not None:
            wakes.append(_seconds(wake_at, now))
        return any(each.ended_at is None for each in sessions)

    def demand(self) -> Needs:
        """What of it must not be cleaned up. An app whose deployments can't be read isn't in `deployments`."""
        observed = self.observe()
        deployments: dict[str, frozenset[int]] = {}
        releases: dict[str, frozenset[int]] = {}
        kept = []
        for name in {each.app for each in observed.instances} | set(observed.fence) | set(self.apps):
            live = [each for each in observed.instances if each.app == name and each.state is not State.TERMINATED]
            found = {observed.launch.get(name), observed.routes.get(name)}
            found |= {number for each in live for number in (each.release, each.next_release)}
            app = self.app(name)
            with contextlib.suppress(HomeportError):
                app.load()
                started = app.deployment.started if app.deployment is not None else None
                named = set() if started is None else {started.release, started.previous}
                deployments[name] = frozenset(each for each in named if each is not None)
                found |= named
            releases[name] = frozenset(each for each in found if each is not None)
            with contextlib.suppress(HomeportError):
                launch = observed.launch.get(name)
                kept.append(app.resolve(launch)[launch].retention.logs if launch is not None else Retention().logs)
        return Needs(deployments=deployments, releases=releases, logs=max(kept, default=Retention().logs))

    def _deploy(self, app: AppControl, observed: Observation) -> None:
        if observed.closing or app.app in observed.leaving:
            app.abort(f"{'the environment' if observed.closing else app.app} goes down")
        else:
            app.advance(observed)

    def _keep(self, app: AppControl, observed: Observation, now: datetime) -> list[float]:
        """The fleet decider for every group of an app, carried out."""
        if self.engine.heals and app.active and not app.lease.held:
            return []  # whoever holds it drives; on the local engine that can't be anybody else
        members = by_group(observed)
        try:
            plans_of = self._decide(app, observed, members, now)
        except HomeportError as error:
            self._complain(error)
            return []
        self._guarded(partial(self._carry_out_all, app, plans_of, observed))
        self._guarded(partial(self._put_away, app, members))
        return [_seconds(plan.wake_at, now) for _, plan in plans_of if plan.wake_at is not None]

    def look(self, observed: Observation) -> None:
        """What the loop finds, where none runs: nothing is carried out. Of apps with a group that isn't as it shall be;
        nothing is found out of one that can't be read."""
        members = by_group(observed)
        serving = Counter((each.app, each.group) for each in observed.instances if each.state is State.IN_SERVICE)
        amiss = [each for each in observed.capacity if each.held or each.count != serving[each.app, each.group]]
        for name in sorted({each.app for each in amiss} - observed.leaving):
            with contextlib.suppress(HomeportError):
                app = self.app(name)
                app.load()
                for _, plan in self._decide(app, observed, members, self.clock.now()):
                    self.reasons |= {each.subject: each.reason for each in plan.decisions}

    def _decide(
        self, app: AppControl, observed: Observation, members: Members, now: datetime
    ) -> list[tuple[GroupDesired, Plan]]:
        """Of every group, and how it fares. Raises `Unavailable`."""
        there = {each.group for each in observed.instances if each.app == app.app}
        present = sorted(there | {each.group for each in observed.capacity if each.app == app.app})
        desired = self._desired(app, observed, present, now)
        decide = pool.reconcile if self.engine.heals else reconcile
        plans = [decide(group, observed, now, members.get((group.app, group.name), ())) for group in desired]
        plans_of = list(zip(desired, plans, strict=True))
        for group, plan in plans_of:
            notes = tuple(each.reason for each in plan.decisions if each.action is None and each.subject == group.name)
            found = Care(notes=notes, breakers=plan.breakers, cycle_stopped=plan.cycle_stopped)
            self.care[group.app, group.name] = found
        return plans_of

    def _desired(
        self, app: AppControl, observed: Observation, present: list[str], now: datetime
    ) -> tuple[GroupDesired, ...]:
        if observed.closing or app.app in observed.leaving:
            known = self._known(app, observed)
            asked = Asked()  # neither standby nor a suspended process keeps it from going down
            return desired_groups(app.app, deployment=None, launch=None, releases=known, asked=asked, present=present)
        deployment = app.deployment
        launch = observed.launch.get(app.app)
        if not app.loaded and launch is None:
            raise Unavailable(f"what {app.app} shall be isn't known while the store doesn't answer: nothing is changed")
        started = deployment.started if deployment is not None else None
        wanted = [launch] if started is None else [launch, started.release, started.previous]
        return desired_groups(
            app.app,
            deployment=deployment,
            launch=launch,
            releases=app.resolve(*wanted),
            asked=self.engine.asked(self.place.id),
            present=present,
            now=now,
        )

    def _put_away(self, app: AppControl, members: Members) -> None:
        """What people asked for and has been done is asked no more."""
        for said in self.engine.asked(self.place.id).groups:
            left = outstanding(said, members.get((said.app, said.group), ())) if said.app == app.app else said
            if left != said:
                self.engine.ask(self.place.id, left)
            if said.cycle is not None and left.cycle is None:
                self.note(app.app, "cycle", said.group, f"the cycle that {said.cycle.by} asked for is done")

    def _known(self, app: AppControl, observed: Observation) -> dict[int, Resolved]:
        """What is known of the releases that run: for how long their instances may take to end."""
        found = {}
        for number in sorted({each.release for each in observed.instances if each.app == app.app}):
            with contextlib.suppress(HomeportError):  # then the defaults hold: going down needs no store
                found[number] = app.resolve(number)[number]
        return found

    def _carry_out_all(self, app: AppControl, plans: list[tuple[GroupDesired, Plan]], observed: Observation) -> None:
        with self.engine.together():
            for group, decision in ((group, each) for group, plan in plans for each in plan.decisions):
                self._carry_out(app, group, decision, observed)
                if isinstance(decision.action, Launch):
                    # groups of two apps may bear one name: the next app mustn't give the same id
                    name, _, ordinal = decision.action.instance.rpartition("-")
                    observed.last_ordinal[name] = int(ordinal)

    def _carry_out(self, app: AppControl, group: GroupDesired, decision: Decision, observed: Observation) -> None:
        self.reasons[decision.subject] = decision.reason
        failed = ""
        if decision.action is not None:
            try:
                self.engine.execute(self.place.id, decision.action, fence=app.fence(observed))
            except HomeportError as error:
                self._complain(error)
                failed = error.message
        event = self.notes.event(decision, group, observed, self.clock.now(), failed=failed)
        if event is not None:
            self.engine.record(event)

    def note(self, app: str, kind: str, subject: str, message: str) -> None:
        """As an event that no rule decided."""
        at = self.clock.now()
        event = Event(at=at, environment=self.place.id, app=app, kind=kind, subject=subject, message=message)
        self.engine.record(event)

    def _guarded(self, call: Callable[[], None]) -> None:
        """One thing that fails doesn't keep the others from being done; it is tried again at the next tick. At once,
        where room could be made: what fills a disk takes it the next moment."""
        try:
            try:
                call()
            except Unavailable:
                if not self.engine.make_room():
                    raise
                call()
        except HomeportError as error:
            self._complain(error)

    def _complain(self, error: HomeportError) -> None:
        if error.message not in (self.trouble, self._said):
            log.warning("%s: %s", self.place.id, error.message)
            self._said = error.message
        self.trouble = error.message


def _all_ended(observed: Observation) -> bool:
    """And nothing comes by itself."""
    return all(each.state is State.TERMINATED for each in observed.instances) and not any(
        each.count for each in observed.capacity
    )


def _seconds(moment: datetime, now: datetime) -> float:
    return max(0.0, (moment - now).total_seconds())
