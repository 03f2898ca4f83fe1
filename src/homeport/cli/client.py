"""What the command line asks of a control plane. Who carries it there is a door: `cli.door` over the daemon's socket,
`console.inside` in this very process.

Answers are the structs of `console.views`; errors are those of `homeport.errors`, through every door.
"""

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from homeport.console import views
from homeport.console.request import (
    BreakerRequest,
    CycleRequest,
    DeployRequest,
    MaintenanceRequest,
    PrepareRequest,
    ProcessesRequest,
    ScaleRequest,
    StandbyRequest,
    Word,
    ZoneRequest,
)
from homeport.model.event import Event
from homeport.model.platform import Amount

if TYPE_CHECKING:
    from homeport.model.why import Why

T = TypeVar("T")


class Door(Protocol):
    @property
    def inside(self) -> bool:
        """Nobody but this very process carries on what it was asked for."""
        ...

    def heard(self) -> list[tuple[str, str]]:
        """Instances, and what they wrote about what they were told, since this was asked last."""
        ...

    def ask(
        self,
        kind: type[T] | None,
        call: str,
        environment: str | None = None,
        body: msgspec.Struct | None = None,
        **named: str | float | None,
    ) -> T:
        """The answer, of that kind. `call`: a method of `console.queries` or `console.asking`; `named`: its arguments
        beside the body. Raises `Unavailable` where nobody answers, `Conflict` where who answers is of another
        version."""
        ...


class Client:
    """`environment` is `<platform>/<name>`. Every method raises what its door does."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.inside = door.inside
        self.heard = door.heard

    def daemon(self) -> views.VersionView:
        """Answers whatever its version is."""
        return self._door.ask(views.VersionView, "version")

    def store(self) -> views.StoreView:
        return self._door.ask(views.StoreView, "store")

    def environments(self) -> tuple[views.EnvironmentView, ...]:
        return self._door.ask(views.EnvironmentList, "environments").environments

    def status(self, environment: str) -> views.StatusView:
        return self._door.ask(views.StatusView, "status", environment)

    def instances(self, environment: str, *, ended: bool = False) -> views.InstanceList:
        return self._door.ask(views.InstanceList, "instances", environment, ended=ended)

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
        """Number of the deployment that has begun."""
        body = DeployRequest(
            app=app,
            release=release,
            by=by,
            why=why,
            restart=restart,
            pause_after=pause_after,
            over_freeze=over_freeze,
        )
        return self._door.ask(views.Begun, "deploy", environment, body).number

    def go_on(self, environment: str, *, app: str, number: int | None, by: str) -> int:
        """Number of the deployment that goes on from its gate."""
        body = Word(app=app, number=number, by=by, why="")
        return self._door.ask(views.Begun, "go_on", environment, body).number

    def abort(self, environment: str, *, app: str, number: int | None, by: str, why: str) -> int:
        """Number of the deployment that goes back."""
        body = Word(app=app, number=number, by=by, why=why)
        return self._door.ask(views.Begun, "abort", environment, body).number

    def settle(self, environment: str, *, app: str) -> None:
        """Only where the control plane is inside: what whoever drove the app's newest deployment left undone at its end
        is done. Raises `Conflict` with `retry_after` while they may still be there."""
        self._door.ask(None, "settle", environment, app=app)

    def deployments(self, environment: str, app: str) -> tuple[views.DeploymentView, ...]:
        return self._door.ask(views.DeploymentList, "deployments", environment, app=app).deployments

    def journal(
        self, environment: str, app: str, number: int, *, after: int = 0, known: str = "", seconds: float = 0
    ) -> views.JournalView:
        """Entries after the first `after`; waits up to `seconds` for news: more entries, or a `waits_for` other than
        `known`."""
        return self._door.ask(
            views.JournalView, "journal", environment, app=app, number=number, after=after, known=known, seconds=seconds
        )

    def scale(self, environment: str, *, app: str, group: str, count: int, by: str = "somebody") -> int:
        """The count that is kept."""
        body = ScaleRequest(app=app, group=group, count=count, by=by)
        return self._door.ask(views.Scaled, "scale", environment, body).desired

    def maintain(
        self, environment: str, *, on: bool, app: str | None, by: str, why: str = "", allow: tuple[str, ...] = ()
    ) -> tuple[views.MaintenanceView, ...]:
        """What is closed then."""
        body = MaintenanceRequest(on=on, by=by, app=app, why=why, allow=allow)
        return self._door.ask(views.MaintenanceList, "maintain", environment, body).maintenance

    def note_freeze(self, environment: str) -> None:
        """What the store says of a freeze by now is an event there."""
        self._door.ask(None, "note_freeze", environment)

    def prepare(self, environment: str, *, app: str, release: int, seconds: float) -> views.Prepared:
        """How far it is, at the latest after `seconds`."""
        body = PrepareRequest(app=app, release=release)
        return self._door.ask(views.Prepared, "prepare", environment, body, seconds=seconds)

    def ask_zone(self, environment: str, asked: ZoneRequest) -> bool:
        """Whether that changed anything."""
        return self._door.ask(views.Done, "zone", environment, asked).changed

    def ask_processes(self, environment: str, asked: ProcessesRequest) -> None:
        self._door.ask(views.Done, "processes", environment, asked)

    def ask_standby(self, environment: str, asked: StandbyRequest) -> bool:
        """Whether that changed anything."""
        return self._door.ask(views.Done, "standby", environment, asked).changed

    def ask_cycle(self, environment: str, asked: CycleRequest) -> bool:
        """Whether that changed anything."""
        return self._door.ask(views.Done, "cycle", environment, asked).changed

    def reset_breakers(self, environment: str, asked: BreakerRequest) -> None:
        self._door.ask(views.Done, "breakers", environment, asked)

    def down(self, environment: str, app: str | None = None) -> None:
        self._door.ask(None, "down", environment, app=app)

    def events(self, environment: str, *, after: int = 0, limit: int = 1000, seconds: float = 0) -> tuple[Event, ...]:
        found = self._door.ask(views.EventList, "events", environment, after=after, limit=limit, seconds=seconds)
        return found.events

    def why(self, environment: str, subject: str, *, app: str | None = None) -> "Why":
        """The chain of causes of an instance, a group or a deployment."""
        from homeport.model.why import Why

        return self._door.ask(Why, "why", environment, subject=subject, app=app)

    def clean(self, *, dry_run: bool) -> views.CleanedView:
        """What went, or would go. Takes as long as there is much to look at."""
        return self._door.ask(views.CleanedView, "clean", dry_run=dry_run)
