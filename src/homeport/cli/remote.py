"""An environment that isn't on this machine: which one a command means, and its control plane inside this very process.
Called by `place`.
"""

import atexit
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli.client import Client
from homeport.console import views
from homeport.errors import HomeportError, NotFound
from homeport.model.event import Event
from homeport.model.platform import Amount

if TYPE_CHECKING:
    from homeport.console.inside import Inside
    from homeport.model.platform import Place
    from homeport.model.why import Why

_inside: "list[Inside]" = []
"""The one of this process, once it was needed."""


def choose(directory: Path, asked: str | None) -> None:
    """This run works for the environment that is meant, if that is on AWS. What is wrong with the file is for the
    command to say."""
    from homeport import wiring
    from homeport.cli.place import platform_here
    from homeport.plan.platform import place_of
    from homeport.plan.platform_name import environment_name

    try:
        platform = platform_here(directory)
        if platform is None:
            return
        stated, _, name = (asked or "").rpartition("/")
        if stated and stated != platform.name:
            return
        place = place_of(platform, environment_name(platform, name or None))
    except HomeportError:
        return
    if place.engine == "aws":
        wiring.work_for(place)


def chosen() -> "Place | None":
    """None: the engine is this machine's."""
    from homeport import wiring

    return wiring.remote()


def client(*, drives: bool = False) -> "Client | None":
    """Of the control plane in this process, which is there until the process ends; None: the engine is this machine's.
    `drives`: deployments are carried on from now on. Raises `Invalid` without credentials, `Conflict` with those of
    another account."""
    from homeport import wiring

    if wiring.remote() is None:
        return None
    if not _inside:
        _inside.append(wiring.control_inside())
        atexit.register(leave)
    if drives:
        _inside[0].drive()
    return Direct(_inside[0])


def leave() -> None:
    """The control plane of this process has ended. Harmless to repeat."""
    while _inside:
        _inside.pop().end()


class Direct(Client):
    """As a client of a daemon. Who changes something, or waits for something, carries on what goes on."""

    inside = True

    def __init__(self, inside: "Inside") -> None:
        super().__init__(Path("/"))
        self._inside = inside

    @property
    def _changing(self) -> "Inside":
        self._inside.drive()
        return self._inside

    def _waiting(self, seconds: float) -> "Inside":
        return self._changing if seconds > 0 else self._inside

    def daemon(self) -> views.VersionView:
        raise NotFound("no daemon: the engine is AWS")

    def store(self) -> views.StoreView:
        return self._inside.queries.store()

    def environments(self) -> tuple[views.EnvironmentView, ...]:
        return self._inside.queries.environments().environments

    def status(self, environment: str) -> views.StatusView:
        return self._inside.queries.status(environment)

    def instances(self, environment: str, *, ended: bool = False) -> views.InstanceList:
        return self._inside.queries.instances(environment, ended=ended)

    def deploy(
        self,
        environment: str,
        *,
        app: str,
        release: int,
        by: str,
        why: str,
        restart: bool = False,
        pause_after: Amount | None = None,
        over_freeze: str | None = None,
    ) -> int:
        said = views.DeployRequest(
            app=app,
            release=release,
            by=by,
            why=why,
            restart=restart,
            pause_after=pause_after,
            over_freeze=over_freeze,
        )
        return self._changing.queries.deploy(environment, said).number

    def go_on(self, environment: str, *, app: str, number: int | None, by: str) -> int:
        return self._changing.queries.go_on(environment, views.Word(app=app, number=number, by=by, why="")).number

    def abort(self, environment: str, *, app: str, number: int | None, by: str, why: str) -> int:
        return self._changing.queries.abort(environment, views.Word(app=app, number=number, by=by, why=why)).number

    def deployments(self, environment: str, app: str) -> tuple[views.DeploymentView, ...]:
        return self._inside.queries.deployments(environment, app).deployments

    def journal(
        self, environment: str, app: str, number: int, *, after: int = 0, known: str = "", seconds: float = 0
    ) -> views.JournalView:
        queries = self._waiting(seconds).queries
        return queries.journal(environment, app, number, after=after, known=known, seconds=seconds)

    def scale(self, environment: str, *, app: str, group: str, count: int, by: str = "somebody") -> int:
        said = views.ScaleRequest(app=app, group=group, count=count, by=by)
        return self._changing.queries.scale(environment, said).desired

    def maintain(
        self, environment: str, *, on: bool, app: str | None, by: str, why: str = "", allow: tuple[str, ...] = ()
    ) -> tuple[views.MaintenanceView, ...]:
        said = views.MaintenanceRequest(on=on, by=by, app=app, why=why, allow=allow)
        return self._changing.queries.maintain(environment, said).maintenance

    def prepare(self, environment: str, *, app: str, release: int, seconds: float) -> views.Prepared:
        said = views.PrepareRequest(app=app, release=release)
        return self._changing.queries.prepare(environment, said, seconds=seconds)

    def ask_zone(self, environment: str, asked: views.ZoneRequest) -> bool:
        return self._changing.asking.zone(environment, asked).changed

    def ask_processes(self, environment: str, asked: views.ProcessesRequest) -> None:
        self._changing.asking.processes(environment, asked)

    def ask_standby(self, environment: str, asked: views.StandbyRequest) -> bool:
        return self._changing.asking.standby(environment, asked).changed

    def ask_cycle(self, environment: str, asked: views.CycleRequest) -> bool:
        return self._changing.asking.cycle(environment, asked).changed

    def reset_breakers(self, environment: str, asked: views.BreakerRequest) -> None:
        self._changing.asking.breakers(environment, asked)

    def down(self, environment: str, app: str | None = None) -> None:
        self._changing.queries.down(environment, app)

    def events(self, environment: str, *, after: int = 0, limit: int = 1000, seconds: float = 0) -> tuple[Event, ...]:
        queries = self._waiting(seconds).queries
        return queries.events(environment, after=after, limit=limit, seconds=seconds).events

    def why(self, environment: str, subject: str, *, app: str | None = None) -> "Why":
        return self._inside.queries.why(environment, subject, app)

    def clean(self, *, dry_run: bool) -> views.CleanedView:
        return self._inside.queries.clean(dry_run=dry_run)
