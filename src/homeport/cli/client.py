"""Speaks to the daemon's API over its Unix socket, with nothing but the standard library: `ps` must start fast.

Answers are the structs of `console.views`; errors come back as the exceptions of `homeport.errors` that they were.
"""

import socket
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from homeport import __version__
from homeport.console import views
from homeport.errors import BY_KIND, Bug, HomeportError, Unavailable
from homeport.model.event import Event
from homeport.model.platform import Amount
from homeport.system import http
from homeport.system.clock import pause

if TYPE_CHECKING:
    from homeport.model.why import Why

T = TypeVar("T")
VERSION_HEADER = "Homeport-Version"
ANSWER_SECONDS = 30.0
"""How long an answer may take, beside what a long poll asked for."""

CLEANING_SECONDS = 3600.0
BACK_SECONDS = 5.0
LOOK_SECONDS = 0.05


class Client:
    """One daemon. `environment` is `<platform>/<name>`. Every method raises `Unavailable` where nobody answers,
    `Conflict` where the daemon is of another version."""

    inside = False
    """Nobody but this very process carries on what it was asked for."""

    def __init__(self, socket_path: Path, *, version: str = __version__) -> None:
        self.socket_path = socket_path
        self.version = version

    def daemon(self) -> views.VersionView:
        """Answers whatever its version is."""
        return self._ask("GET", "/v1/version", views.VersionView)

    def store(self) -> views.StoreView:
        return self._ask("GET", "/v1/store", views.StoreView)

    def environments(self) -> tuple[views.EnvironmentView, ...]:
        return self._ask("GET", "/v1/environments", views.EnvironmentList).environments

    def status(self, environment: str) -> views.StatusView:
        return self._ask("GET", _path(environment), views.StatusView)

    def instances(self, environment: str, *, ended: bool = False) -> views.InstanceList:
        query = {"ended": "true"} if ended else {}
        return self._ask("GET", _path(environment, "instances"), views.InstanceList, query=query)

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
        body = views.DeployRequest(
            app=app,
            release=release,
            by=by,
            why=why,
            restart=restart,
            pause_after=pause_after,
            over_freeze=over_freeze,
        )
        return self._ask("POST", _path(environment, "deployments"), views.Begun, body=body).number

    def go_on(self, environment: str, *, app: str, number: int | None, by: str) -> int:
        """Number of the deployment that goes on from its gate."""
        body = views.Word(app=app, number=number, by=by, why="")
        return self._ask("POST", _path(environment, "deployments", "continue"), views.Begun, body=body).number

    def abort(self, environment: str, *, app: str, number: int | None, by: str, why: str) -> int:
        """Number of the deployment that goes back."""
        body = views.Word(app=app, number=number, by=by, why=why)
        return self._ask("POST", _path(environment, "deployments", "abort"), views.Begun, body=body).number

    def deployments(self, environment: str, app: str) -> tuple[views.DeploymentView, ...]:
        path = _path(environment, "deployments")
        return self._ask("GET", path, views.DeploymentList, query={"app": app}).deployments

    def journal(
        self, environment: str, app: str, number: int, *, after: int = 0, known: str = "", seconds: float = 0
    ) -> views.JournalView:
        """Entries after the first `after`; waits up to `seconds` for news: more entries, or a `waits_for` other than
        `known`."""
        query = {"after": str(after), "waits_for": known, "wait": f"{seconds:g}"}
        path = _path(environment, "deployments", app, str(number))
        return self._ask("GET", path, views.JournalView, query=query, seconds=seconds)

    def scale(self, environment: str, *, app: str, group: str, count: int, by: str = "somebody") -> int:
        """The count that is kept."""
        body = views.ScaleRequest(app=app, group=group, count=count, by=by)
        return self._ask("POST", _path(environment, "scale"), views.Scaled, body=body).desired

    def maintain(
        self, environment: str, *, on: bool, app: str | None, by: str, why: str = "", allow: tuple[str, ...] = ()
    ) -> tuple[views.MaintenanceView, ...]:
        """What is closed then."""
        body = views.MaintenanceRequest(on=on, by=by, app=app, why=why, allow=allow)
        return self._ask("POST", _path(environment, "maintenance"), views.MaintenanceList, body=body).maintenance

    def note_freeze(self, environment: str) -> None:
        """What the store says of a freeze by now is an event there."""
        self._ask("POST", _path(environment, "freeze"), None)

    def prepare(self, environment: str, *, app: str, release: int, seconds: float) -> views.Prepared:
        """How far it is, at the latest after `seconds`."""
        body = views.PrepareRequest(app=app, release=release)
        path, query = _path(environment, "prepared"), {"wait": f"{seconds:g}"}
        return self._ask("POST", path, views.Prepared, query=query, body=body, seconds=seconds)

    def ask_zone(self, environment: str, asked: views.ZoneRequest) -> bool:
        """Whether that changed anything."""
        return self._ask("POST", _path(environment, "fleet", "zones"), views.Done, body=asked).changed

    def ask_processes(self, environment: str, asked: views.ProcessesRequest) -> None:
        self._ask("POST", _path(environment, "fleet", "processes"), views.Done, body=asked)

    def ask_standby(self, environment: str, asked: views.StandbyRequest) -> bool:
        """Whether that changed anything."""
        return self._ask("POST", _path(environment, "fleet", "standby"), views.Done, body=asked).changed

    def ask_cycle(self, environment: str, asked: views.CycleRequest) -> bool:
        """Whether that changed anything."""
        return self._ask("POST", _path(environment, "fleet", "cycle"), views.Done, body=asked).changed

    def reset_breakers(self, environment: str, asked: views.BreakerRequest) -> None:
        self._ask("POST", _path(environment, "fleet", "breakers"), views.Done, body=asked)

    def down(self, environment: str, app: str | None = None) -> None:
        self._ask("POST", _path(environment, "down"), None, query={} if app is None else {"app": app})

    def events(self, environment: str, *, after: int = 0, limit: int = 1000, seconds: float = 0) -> tuple[Event, ...]:
        query = {"after": str(after), "limit": str(limit), "wait": f"{seconds:g}"}
        return self._ask("GET", _path(environment, "events"), views.EventList, query=query, seconds=seconds).events

    def why(self, environment: str, subject: str, *, app: str | None = None) -> "Why":
        """The chain of causes of an instance, a group or a deployment."""
        from homeport.model.why import Why

        query = {"subject": subject} | ({} if app is None else {"app": app})
        return self._ask("GET", _path(environment, "why"), Why, query=query)

    def clean(self, *, dry_run: bool) -> views.CleanedView:
        """What went, or would go. Takes as long as there is much to look at."""
        query = {"dry_run": "true"} if dry_run else {}
        return self._ask("POST", "/v1/gc", views.CleanedView, query=query, seconds=CLEANING_SECONDS)

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T] | None,
        *,
        query: dict[str, str] | None = None,
        body: msgspec.Struct | None = None,
        seconds: float = 0,
    ) -> T:
        data = b"" if body is None else msgspec.json.encode(body)
        request = (
            f"{method} {path}{f'?{urlencode(query)}' if query else ''} HTTP/1.1\r\n"
            f"Host: homeport\r\nConnection: close\r\n{VERSION_HEADER}: {self.version}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        try:
            head, answer = self._answer(request.encode() + data, seconds + ANSWER_SECONDS, again=method == "GET")
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unavailable(
                "the engine isn't running",
                hint="homeport up, or homeport engine start",
                retry_after=timedelta(seconds=1),
            ) from error
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the engine broke off its answer to {method} {path}: {str(error) or type(error).__name__}",
                hint="homeport engine status",
                retry_after=timedelta(seconds=1),
            ) from error
        if head.status >= 400:
            raise _error(head.status, answer)
        return msgspec.json.decode(answer, type=kind) if kind is not None else None  # type: ignore[return-value]

    def _answer(self, request: bytes, timeout: float, *, again: bool) -> tuple[http.Head, bytes]:
        """Raises `OSError`, ValueError. `again`: it may be asked once more of a daemon that was killed meanwhile."""
        try:
            return http.whole(self._exchange(request, timeout))
        except (ConnectionResetError, BrokenPipeError, ValueError):
            if not again:
                raise
            return self._answer(request, timeout, again=False)

    def _exchange(self, request: bytes, timeout: float) -> bytes:
        """All that comes. Raises `OSError`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            self._connect(connection)
            connection.sendall(request)
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        return bytes(received)

    def _connect(self, connection: socket.socket) -> None:
        """A daemon that ends takes its socket away. Where nobody listens on it, it was killed, and is soon back."""
        waited = 0.0
        while True:
            try:
                return connection.connect(str(self.socket_path))
            except ConnectionRefusedError:
                if waited >= BACK_SECONDS:
                    raise
            pause(LOOK_SECONDS)
            waited += LOOK_SECONDS


def _path(environment: str, *more: str) -> str:
    platform, _, name = environment.partition("/")
    return "/v1/environments/" + "/".join(quote(part, safe="") for part in (platform, name, *more))


def _error(status: int, answer: bytes) -> HomeportError:
    try:
        said = msgspec.json.decode(answer, type=views.ErrorBody).error
    except msgspec.DecodeError:
        return Bug(f"the engine answered {status} with what isn't an error of Homeport", hint="homeport engine logs")
    kind = BY_KIND.get(said.kind, Bug)
    if kind is Unavailable:
        after = said.retry_after_seconds
        retry_after = None if after is None else timedelta(seconds=after)
        return Unavailable(said.message, hint=said.hint, details=said.details, retry_after=retry_after)
    return kind(said.message, hint=said.hint, details=said.details)
