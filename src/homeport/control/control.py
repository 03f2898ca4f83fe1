"""The control plane of one engine: the loop, and what people can ask of it. Called by `console` and `wiring`.

One lock guards everything; ticks are short, since an engine's long actions go on by themselves.
"""

import contextlib
import logging
import threading
from collections.abc import Callable

from msgspec.structs import replace

from homeport.control import maintenance
from homeport.control.environment import EnvironmentControl
from homeport.control.opening import Wish
from homeport.control.promise import Promises
from homeport.control.retention import Cleaner, Demand
from homeport.errors import Conflict, HomeportError, Invalid, NotFound, NotUp
from homeport.model.action import Prepare
from homeport.model.asked import MaintenanceAsked
from homeport.model.deployment import Deployment, Entry, Verdict
from homeport.model.fleet import Observation, Preparation
from homeport.model.freeze import Freeze
from homeport.model.platform import Amount, Place
from homeport.model.release import Release
from homeport.model.session import Session
from homeport.plan import freeze, route
from homeport.plan.desired import size
from homeport.plan.mistake import instead
from homeport.plan.release import shared_name
from homeport.ports.clock import Clock
from homeport.ports.engine import Engine
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.releases.freeze import Freezes

log = logging.getLogger("homeport.control")
BEAT_SECONDS = 1.0


class Control:
    """`holder`: name of this control plane in leases; the same again only for the holder of the same lock file."""

    def __init__(self, engine: Engine, store: ObjectStore, clock: Clock, *, holder: str) -> None:
        self.engine = engine
        self.store = store
        self.clock = clock
        self.holder = holder
        self.environments: dict[str, EnvironmentControl] = {}
        self.changed = threading.Condition(threading.RLock())
        """Notified after every tick; its lock guards everything here."""
        self.generation = 0
        self._promises = Promises(engine, self.environments)
        self._preparing: set[tuple[str, str, int]] = set()
        """(environment, app, release) that somebody waits for, beside the deployments."""
        self.cleaner = Cleaner(engine, store, clock, self.demand)
        self._good: set[tuple[str, str, int]] = set()
        """(environment, app, deployment): verdicts after which was cleaned up, or soon is."""
        self._woken = threading.Event()
        self._ended = threading.Event()
        engine.on_change(self.wake)
        for place, _ in engine.environments().values():
            self._environment(place)

    # --- the loop -----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed: tick soon."""
        self._woken.set()

    def run(self) -> None:
        """Ticks until `end`. An error of ours in one environment is logged and doesn't stop the others."""
        beats = threading.Thread(target=self._beats, name="lease", daemon=True)
        beats.start()
        cleaning = threading.Thread(target=self.cleaner.run, name="cleaner", daemon=True)
        cleaning.start()
        while not self._ended.is_set():
            self._woken.clear()
            found = [each for each in (self.tick(), self.engine.look_again_seconds) if each is not None]
            self._woken.wait(min(found, default=None))
        self.cleaner.end()
        beats.join(timeout=2)
        cleaning.join(timeout=2)

    def end(self) -> None:
        self._ended.set()
        self.wake()

    def tick(self) -> float | None:
        """One round over all environments. Seconds until the next one must come at the latest."""
        wakes: list[float] = []
        with self.changed:
            for id_, environment in list(self.environments.items()):
                try:
                    wake = environment.tick()
                except HomeportError as error:
                    environment.trouble = error.message
                    log.warning("%s: %s", id_, error.message)
                    wake = 1.0
                except Exception:
                    environment.trouble = "an error of Homeport's own: see homeport engine logs"
                    log.exception("%s: tick failed", id_)
                    wake = 1.0
                self._note_verdicts(environment)
                if environment.closed:
                    del self.environments[id_]
                if wake is not None:
                    wakes.append(wake)
            self.generation += 1
            self.changed.notify_all()
        return min(wakes, default=None)

    def _note_verdicts(self, environment: EnvironmentControl) -> None:
        for app in environment.apps.values():
            ended = app.deployment.ended if app.deployment is not None else None
            if app.deployment is None or ended is None or ended.verdict is not Verdict.GOOD or app.unfinished:
                continue
            key = (environment.place.id, app.app, app.deployment.started.number)
            if key not in self._good:
                self._good.add(key)
                self.cleaner.after_verdict()

    def _beats(self) -> None:
        """Never behind a tick: one may take longer than a lease lives, where AWS throttles or is slow."""
        while not self._ended.wait(BEAT_SECONDS):
            for app in [app for each in list(self.environments.values()) for app in list(each.apps.values())]:
                with contextlib.suppress(HomeportError):
                    app.beat()

    # --- requests -----------------------------------------------------------------------------------------------------

    def open(self, place: Place) -> str:
        """URL of the environment, which exists from now on."""
        with self.changed:
            known = self.environments.get(place.id)
            if known is not None and known.observe().closing:
                raise Conflict(f"{place.name} of {place.platform} is going down", hint="homeport up, in a moment")
            url = self.engine.open_environment(place)
            self._environment(place)
            return url

    def deploy(
        self,
        place: Place,
        app: str,
        number: int,
        *,
        by: str,
        why: str,
        restart: bool = False,
        pause_after: Amount | None = None,
        over_freeze: str | None = None,
    ) -> int:
        """Number of the deployment that has begun; what is said beside it: see `Wish`. Raises `Conflict` where one goes
        on, the release runs already, another app has one of its routes or the environment is frozen, `NotFound` for the
        release, `Invalid` where its groups take more memory than the machine has and than they did."""
        with self.changed:
            frozen = self.freeze(place.id)
            if frozen is not None and over_freeze is None:
                raise freeze.refusal(frozen, place.id)
            release = Catalogue(self.store).get(app, place.name, number)
            self._check_alone(place, app)
            self._check_routes(release)
            self._promises.check_release(place, release)
            self.open(place)
            if app in self.environments[place.id].observe().leaving:
                raise Conflict(f"{app} is going down in {place.id}", hint="homeport up, in a moment")
            environment = self.environments[place.id]
            control = environment.app(app)
            over = "" if frozen is None or over_freeze is None else over_freeze
            wish = Wish(by=by, why=why, restart=restart, pause_after=pause_after, over_freeze=over)
            deployment = control.begin(release, environment.observe(), wish)
        self.wake()
        return deployment

    def settle(self, environment: str, app: str) -> None:
        """Nothing is left to do of the app's newest deployment, if it has ended. Raises as `AppControl.settle`, and
        `NotFound`."""
        with self.changed:
            self._find(environment).app(app).settle()

    def freeze(self, environment: str) -> Freeze | None:
        """The freeze that holds, as the store has it; None: nothing does. Raises `Unavailable`, `Failed`."""
        return freeze.holding(Freezes(self.store).newest(environment), self.clock.now())

    def note_freeze(self, environment: str) -> None:
        """What was just said of a freeze there is an event. Raises `NotFound` where the environment isn't up, else as
        `freeze`."""
        with self.changed:
            found = self._find(environment)
            said = Freezes(self.store).newest(environment)
            if said is not None:
                kind = "frozen" if said.until_at is not None else "unfrozen"
                found.note("", kind, found.place.name, freeze.event_words(said))

    def close(self, environment: str, app: str | None, *, by: str, why: str, allow: tuple[str, ...]) -> None:
        """The public side of an app, or of all (None), is in maintenance. Raises as `maintenance.begin`, and
        `NotFound`."""
        with self.changed:
            found = self._find(environment)
            if app is not None:
                self._check_known(found, app)
            maintenance.begin(found, app, by=by, why=why, allow=allow)

    def reopen(self, environment: str, app: str | None, *, by: str) -> MaintenanceAsked | None:
        """The maintenance that is over; None: there was none. Raises `NotFound`."""
        with self.changed:
            return maintenance.end(self._find(environment), app, by=by)

    def abort(self, environment: str, app: str, number: int | None, *, by: str, why: str) -> int:
        """Number of the deployment that goes back because somebody says so. Raises as `AppControl.turn_back`, and
        `NotFound`."""
        with self.changed:
            found = self._find(environment)
            self._check_known(found, app)
            number = found.app(app).turn_back(number, by=by, why=why)
        self.wake()
        return number

    def go_on(self, environment: str, app: str, number: int | None, *, by: str) -> int:
        """Number of the deployment that goes on from its gate. Raises as `AppControl.go_on`, and `NotFound`."""
        with self.changed:
            found = self._find(environment)
            self._check_known(found, app)
            number = found.app(app).go_on(number, by=by)
        self.wake()
        return number

    def _check_known(self, found: EnvironmentControl, app: str) -> set[str]:
        """The apps that are there. Raises `NotFound` where this one isn't."""
        observed = found.observe()
        there = set(observed.fence) | set(observed.launch)
        if app not in there:
            raise NotFound(f"{app} isn't up in {found.place.id}{instead(app, sorted(there))}")
        return there

    def prepare(self, environment: str, app: str, number: int) -> Preparation | None:
        """How far it is that the release lies ready for whoever asks for it; None: it has only just begun. Raises
        `NotFound`."""
        with self.changed:
            found = self._find(environment)
            observed = found.observe()
            key = (environment, app, number)
            known = next((each for each in observed.prepared if (each.app, each.release) == (app, number)), None)
            if known is not None and (known.ready or key in self._preparing):
                self._preparing -= {key} if known.ready or known.failed else set()
                return known
            control = found.app(app)
            control.catalogue.get(app, found.place.name, number)
            self._preparing.add(key)
            action = Prepare(app=app, release=number)
            self.engine.execute(environment, action, fence=control.fence(observed))
            return None

    def sessions(self, environment: str) -> tuple[Session, ...]:
        """What people run there, and the last that they ran. Raises `NotFound`."""
        with self.changed:
            self._find(environment)
            return self.engine.sessions(environment)

    def _check_alone(self, place: Place, app: str) -> None:
        """Releases and journals are kept by app and environment: the same two of another platform would share them."""
        for id_, other in self.environments.items():
            if id_ != place.id and other.place.name == place.name and app in other.observe().fence:
                raise shared_name(app, place.id, id_)

    def _check_routes(self, release: Release) -> None:
        found = self.environments.get(release.resolved.place.id)
        clash = None if found is None else route.clash(release.resolved, found.holders())
        if clash is not None:
            raise Conflict(
                f"{release.id} of {release.app} can't be deployed to {release.resolved.place.id}: {clash.text}",
                hint=f"homeport deploy --app {clash.other.resolved.app} first, once it leaves the route alone",
            )

    def down(self, environment: str, app: str | None = None) -> None:
        """Everything in it ends, then the environment itself; with `app`, only that app of several. Raises `NotFound`;
        `Invalid` for its last app, without which the environment would be nothing."""
        with self.changed:
            found = self._find(environment)
            failed = self.engine.asked(environment).zones
            if app is None:
                for each in failed:  # nothing ends in a zone that nobody reaches
                    self.engine.ask(environment, replace(each, failure=None))
                self.engine.begin_close(environment)
            elif failed:
                zone = failed[0].zone
                hint = f"homeport zone restore {zone}"
                raise Conflict(f"zone {zone} has failed: what {app} has there can't end", hint=hint)
            else:
                there = self._check_known(found, app)
                if there - found.observe().leaving <= {app}:
                    raise Invalid(f"{app} is all there is in {environment}", hint=f"homeport down -e {environment}")
                self.engine.begin_leave(environment, app)
        self.wake()

    def scale(self, environment: str, app: str, group: str, count: int, *, by: str = "somebody") -> int:
        """The new desired count, kept over the file's; a deployment that goes on takes it over, but for its way back.
        Raises `Invalid` outside min and max and beyond the machine's memory, `NotFound`."""
        with self.changed:
            found = self._find(environment)
            control = found.app(app)
            control.load()
            launch = found.observe().launch.get(app)
            if launch is None:
                raise NotFound(f"{app} has no good release in {environment} yet", hint="homeport deployment list")
            known = control.resolve(launch)[launch].group(group)
            if known is None:
                names = ", ".join(each.name for each in control.resolve(launch)[launch].groups)
                raise NotFound(f"{app} has no group {group!r}, expected one of {names}")
            bounds = known.instances
            if not bounds.min <= count <= bounds.max:
                raise Invalid(
                    f"{app}/{group}: {count} instances, expected {bounds.min} to {bounds.max}",
                    hint=f"[groups.{group}] instances = {{ min = …, max = … }} in homeport.toml, then "
                    f"homeport deploy -e {environment.partition('/')[2]}",
                )
            self._promises.check_size(environment, app, known, count)
            said = self.engine.asked(environment).of(app, group)
            before = {} if said.desired is None else {group: said.desired}
            self.engine.ask(environment, replace(said, desired=count))
            later = ", once the deployment has gone back" if control.goes_back else ""
            found.note(app, "scaled", group, f"{by} scales {group} from {size(known, before)} to {count}{later}")
        self.wake()
        return count

    def observation(self, environment: str) -> tuple[Observation, dict[str, str], str]:
        """What is there, why, and what troubles the loop (empty: nothing)."""
        with self.changed:
            found = self._find(environment)
            observed = found.observe()
            if self.engine.heals and not self.generation:
                found.look(observed)
            return observed, dict(found.reasons), found.trouble

    def deployments(self, environment: str, app: str) -> list[tuple[Entry, ...]]:
        """The journals of an app's deployments, oldest first."""
        with self.changed:
            control = self._find(environment).app(app)
            return control.journals.all()

    def deployment(self, environment: str, app: str, number: int) -> tuple[tuple[Entry, ...], str]:
        """Entries of one deployment, and what it waits for."""
        with self.changed:
            control = self._find(environment).app(app)
            active = control.deployment
            if active is not None and active.started.number == number:
                return control.entries, control.waits_for
            return control.journals.read(number), ""

    def demand(self) -> Demand:
        """What must not be cleaned up."""
        with self.changed:
            deployments: dict[str, dict[str, frozenset[int]]] = {}
            stored: dict[str, dict[str, frozenset[int]]] = {}
            logs = {}
            for id_, environment in self.environments.items():
                found = environment.demand()
                deployments[id_] = found.deployments
                for app, releases in found.releases.items():
                    name = environment.place.name
                    stored.setdefault(app, {})[name] = releases | stored.get(app, {}).get(name, frozenset())
                logs[id_] = found.logs
            return Demand(deployments=deployments, store=stored, logs=logs)

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        """Until `ready`, asked after every tick under the lock; False: not within `seconds`."""
        with self.changed:
            return self.changed.wait_for(ready, timeout=seconds)

    def newest(self, environment: str, app: str) -> Deployment | None:
        """The app's newest deployment."""
        with self.changed:
            control = self._find(environment).app(app)
            control.load()
            return control.deployment

    def _environment(self, place: Place) -> None:
        known = self.environments.get(place.id)
        if known is None:
            self.environments[place.id] = EnvironmentControl(
                place, engine=self.engine, store=self.store, clock=self.clock, holder=self.holder
            )
        else:
            known.place = place

    def _find(self, environment: str) -> EnvironmentControl:
        if environment not in self.environments:
            names = ", ".join(sorted(self.environments)) or "none"
            raise NotUp(f"environment {environment!r} isn't up; up: {names}", hint=f"homeport up -e {environment}")
        return self.environments[environment]
