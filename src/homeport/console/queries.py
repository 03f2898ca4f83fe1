"""What the API asks of control, one method per route; long polls too. Called by `console.api`, in worker threads."""

import threading
from collections.abc import Callable

from homeport.console import derive, views
from homeport.console.care import with_care, zone_views
from homeport.console.request import DeployRequest, MaintenanceRequest, PrepareRequest, ScaleRequest, Word
from homeport.control import why
from homeport.control.control import Control
from homeport.control.deployment import AppControl
from homeport.errors import HomeportError, Invalid, NotUp
from homeport.model.deployment import Ended
from homeport.model.fleet import Observation, Preparation
from homeport.model.freeze import Freeze
from homeport.model.platform import Route
from homeport.model.why import Why
from homeport.releases.catalogue import Catalogue

STORE_SECONDS = 2.0


class Queries:
    """`environment` is `<platform>/<name>` everywhere. `stopping` ends every long poll."""

    def __init__(self, control: Control, stopping: threading.Event) -> None:
        self.control = control
        self.stopping = stopping
        self._store: tuple[float, views.StoreView] | None = None

    def environments(self) -> views.EnvironmentList:
        with self.control.changed:
            found = self.control.engine.environments()
        return views.EnvironmentList(
            environments=tuple(derive.environment_view(place, url) for _, (place, url) in sorted(found.items()))
        )

    def status(self, environment: str) -> views.StatusView:
        with self.control.changed:
            observed, _, trouble = self.control.observation(environment)
            place, url = self.control.engine.environments()[environment]
            apps = self.control.environments[environment].apps
            known = set(observed.fence) | set(observed.launch) | set(apps)
            names = sorted({each.app for each in observed.instances} | known)
            shown = tuple(self._app(environment, name, observed) for name in names)
            certificate = self.control.engine.certificate(environment) if place.tls is not None else None
        return views.StatusView(
            environment=environment,
            platform=place.platform,
            name=place.name,
            engine=place.engine,
            mode=place.mode,
            urls=(url,),
            closing=observed.closing,
            trouble=trouble,
            apps=shown,
            at=observed.at,
            store=self.store(),
            disk=self._disk(environment),
            certificate=derive.certificate_view(certificate, shown, observed.at),
            freeze=self._freeze(environment),
            zones=zone_views(observed, self.control.engine.asked(environment)),
            maintenance=derive.maintenance_views(self.control.engine.asked(environment)),
        )

    def store(self) -> views.StoreView:
        """Whether it answers, not asked more often than every few seconds."""
        now = self.control.clock.monotonic()
        if self._store is None or now - self._store[0] > STORE_SECONDS:
            problem = ""
            try:
                self.control.store.size("is-anybody-there")
            except HomeportError as error:
                problem = error.message
            self._store = (now, views.StoreView(place=self.control.store.place, problem=problem))
        return self._store[1]

    def _disk(self, environment: str) -> views.DiskView | None:
        try:
            room = self.control.engine.room()
        except OSError:
            return None
        return derive.disk_view(room, self.control.cleaner.usage, environment)

    def _freeze(self, environment: str) -> Freeze | None:
        try:
            return self.control.freeze(environment)
        except HomeportError:
            return None

    def clean(self, *, dry_run: bool) -> views.CleanedView:
        return derive.cleaned_view(self.control.cleaner.clean(dry_run=dry_run))

    def _app(self, environment: str, name: str, observed: Observation) -> views.AppView:
        app = self.control.environments[environment].app(name)
        sizes = self.control.engine.asked(environment).sizes(name)
        care = self.control.environments[environment].care
        launch = observed.launch.get(name)
        resolved = None
        deployment = None
        routes: tuple[Route, ...] = ()
        try:
            if (routed := observed.routes.get(name)) is not None:
                routes = app.resolve(routed)[routed].routes
            if launch is not None:
                resolved = app.resolve(launch)[launch]
            deployment = self._newest(app)
        except HomeportError:
            # the store is gone: what runs is shown all the same, and `trouble` says why the rest isn't
            pass
        view = derive.app_view(name, observed, resolved=resolved, sizes=sizes, deployment=deployment, routes=routes)
        return with_care(view, observed, self.control.engine.asked(environment), care)

    def _newest(self, app: AppControl) -> views.DeploymentView | None:
        app.load()
        return derive.deployment_view(app.entries, app.waits_for) if app.entries else None

    def instances(self, environment: str, *, ended: bool) -> views.InstanceList:
        observed, reasons, _ = self.control.observation(environment)
        sessions = self.control.sessions(environment)
        return views.InstanceList(
            environment=environment,
            instances=derive.instance_views(observed, reasons, ended=ended),
            sessions=derive.session_views(sessions, ended=ended),
            tasks=tuple(views.TaskView(id=each.id, app=each.app) for each in observed.tasks if not each.ended),
            maintenance=derive.maintenance_views(self.control.engine.asked(environment)),
            closing=observed.closing,
        )

    def deploy(self, environment: str, asked: DeployRequest) -> views.Begun:
        """The place is what the release says: one that isn't up yet is opened. Raises as `Control.deploy`."""
        name = environment.partition("/")[2]
        release = Catalogue(self.control.store).get(asked.app, name, asked.release)
        place = release.resolved.place
        if place.id != environment:
            raise Invalid(f"{release.id} of {asked.app} is for {place.id}, expected {environment}")
        number = self.control.deploy(
            place,
            asked.app,
            asked.release,
            by=asked.by,
            why=asked.why,
            restart=asked.restart,
            pause_after=asked.pause_after,
            over_freeze=asked.over_freeze,
        )
        return views.Begun(app=asked.app, number=number)

    def abort(self, environment: str, said: Word) -> views.Begun:
        number = self.control.abort(environment, said.app, said.number, by=said.by, why=said.why)
        return views.Begun(app=said.app, number=number)

    def go_on(self, environment: str, said: Word) -> views.Begun:
        number = self.control.go_on(environment, said.app, said.number, by=said.by)
        return views.Begun(app=said.app, number=number)

    def deployments(self, environment: str, app: str) -> views.DeploymentList:
        journals = self.control.deployments(environment, app)
        return views.DeploymentList(deployments=tuple(derive.deployment_view(each) for each in journals if each))

    def journal(
        self, environment: str, app: str, number: int, *, after: int, known: str, seconds: float
    ) -> views.JournalView:
        """Answers when there are entries after `after`, when what it waits for is no longer `known`, or after
        `seconds`."""

        def news() -> bool:
            entries, waits_for = self.control.deployment(environment, app, number)
            return len(entries) > after or waits_for != known or isinstance(entries[-1], Ended)

        self._wait(news, seconds)
        entries, waits_for = self.control.deployment(environment, app, number)
        ended = isinstance(entries[-1], Ended)
        return views.JournalView(
            number=number, app=app, after=after, entries=entries[after:], waits_for=waits_for, ended=ended
        )

    def settle(self, environment: str, *, app: str) -> None:
        """Of a control plane that others may have died beside."""
        self.control.settle(environment, app)

    def prepare(self, environment: str, asked: PrepareRequest, *, seconds: float) -> views.Prepared:
        """Answers when it lies ready, can't ever, or after `seconds`."""

        def far() -> Preparation:
            found = self.control.prepare(environment, asked.app, asked.release)
            return found or Preparation(app=asked.app, release=asked.release)

        found = far()

        def done() -> bool:
            nonlocal found
            found = found if found.ready or found.failed else far()
            return found.ready or bool(found.failed)

        self._wait(done, seconds)
        return views.Prepared(
            app=asked.app,
            release=asked.release,
            ready=found.ready,
            failed=found.failed,
            disk_full=found.disk_full,
        )

    def scale(self, environment: str, asked: ScaleRequest) -> views.Scaled:
        desired = self.control.scale(environment, asked.app, asked.group, asked.count, by=asked.by)
        return views.Scaled(app=asked.app, group=asked.group, desired=desired)

    def maintain(self, environment: str, asked: MaintenanceRequest) -> views.MaintenanceList:
        if asked.on:
            self.control.close(environment, asked.app, by=asked.by, why=asked.why, allow=asked.allow)
        else:
            self.control.reopen(environment, asked.app, by=asked.by)
        return views.MaintenanceList(maintenance=derive.maintenance_views(self.control.engine.asked(environment)))

    def note_freeze(self, environment: str) -> None:
        self.control.note_freeze(environment)

    def why(self, environment: str, subject: str, app: str | None) -> Why:
        return why.explain(self.control, environment, subject, app)

    def down(self, environment: str, app: str | None) -> None:
        self.control.down(environment, app)

    def events(self, environment: str, *, after: int, limit: int, seconds: float) -> views.EventList:
        """The oldest `limit` events above `after`; with `after` 0, the newest `limit` ones."""
        if environment not in self.control.engine.environments():
            raise NotUp(f"environment {environment!r} isn't up", hint="homeport up")
        engine = self.control.engine
        self._wait(lambda: bool(engine.events(environment, after, 1)), seconds)
        if after:
            return views.EventList(events=tuple(engine.events(environment, after, limit)))
        return views.EventList(events=tuple(engine.events(environment, 0, 1_000_000)[-limit:]))

    def _wait(self, ready: Callable[[], bool], seconds: float) -> None:
        if seconds > 0:
            self.control.wait(lambda: self.stopping.is_set() or ready(), seconds)
