"""The HTTP API over `Control`: routes, and errors as JSON. Made into a server by `console.server`.

Every handler is plain blocking code in a worker thread. A client of another version gets `Conflict`, because the
structs may differ; `GET /v1/version` answers anybody.
"""

import logging
import os
import threading
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from homeport.console import fleet, views
from homeport.console.asking import Asking
from homeport.console.queries import Queries
from homeport.console.request import DeployRequest, MaintenanceRequest, PrepareRequest, ScaleRequest, Word
from homeport.control.control import Control
from homeport.errors import Bug, Conflict, HomeportError, Invalid, NotFound
from homeport.model.why import Why

VERSION_HEADER = "Homeport-Version"
LONGEST_WAIT_SECONDS = 55.0
log = logging.getLogger("homeport.console")


def make_app(control: Control, *, version: str, stopping: threading.Event) -> Litestar:
    """The ASGI application. `stopping`: set when long polls shall end early."""
    return Litestar(
        route_handlers=[
            version_of,
            store,
            environments,
            status,
            instances,
            deploy,
            deployments,
            journal,
            abort,
            go_on,
            scale,
            maintain,
            note_freeze,
            prepare,
            down,
            events,
            why,
            clean,
            *fleet.HANDLERS,
        ],
        state=State({"queries": Queries(control, stopping), "asking": Asking(control), "version": version}),
        before_request=check_version,
        exception_handlers={HomeportError: on_error, HTTPException: on_http_error, Exception: on_bug},
        openapi_config=None,
        logging_config=None,
    )


def check_version(request: Request[Any, Any, Any]) -> None:
    """Raises `Conflict` for a client of another version."""
    ours, theirs = request.app.state.version, request.headers.get(VERSION_HEADER)
    if theirs is not None and theirs != ours and request.url.path != "/v1/version":
        raise Conflict(
            f"the engine is Homeport {ours}, this command is Homeport {theirs}",
            hint="homeport engine restart   # what serves goes on serving",
        )


# --- routes -----------------------------------------------------------------------------------------------------------


@get("/v1/version", sync_to_thread=False)
def version_of(state: State) -> views.VersionView:
    return views.VersionView(version=state.version, pid=os.getpid())


@get("/v1/store", sync_to_thread=True)
def store(state: State) -> views.StoreView:
    return queries(state).store()


@get("/v1/environments", sync_to_thread=True)
def environments(state: State) -> views.EnvironmentList:
    return queries(state).environments()


@get("/v1/environments/{platform:str}/{name:str}", sync_to_thread=True)
def status(state: State, platform: FromPath[str], name: FromPath[str]) -> views.StatusView:
    return queries(state).status(f"{platform}/{name}")


@get("/v1/environments/{platform:str}/{name:str}/instances", sync_to_thread=True)
def instances(
    state: State, platform: FromPath[str], name: FromPath[str], ended: FromQuery[bool] = False
) -> views.InstanceList:
    return queries(state).instances(f"{platform}/{name}", ended=ended)


@post("/v1/environments/{platform:str}/{name:str}/deployments", sync_to_thread=True)
def deploy(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[DeployRequest]) -> views.Begun:
    return queries(state).deploy(f"{platform}/{name}", data)


@get("/v1/environments/{platform:str}/{name:str}/deployments", sync_to_thread=True)
def deployments(
    state: State, platform: FromPath[str], name: FromPath[str], app: FromQuery[str]
) -> views.DeploymentList:
    return queries(state).deployments(f"{platform}/{name}", app)


@get("/v1/environments/{platform:str}/{name:str}/deployments/{app:str}/{number:int}", sync_to_thread=True)
def journal(
    state: State,
    platform: FromPath[str],
    name: FromPath[str],
    app: FromPath[str],
    number: FromPath[int],
    after: FromQuery[int] = 0,
    waits_for: FromQuery[str] = "",
    wait: FromQuery[float] = 0,
) -> views.JournalView:
    environment = f"{platform}/{name}"
    return queries(state).journal(environment, app, number, after=after, known=waits_for, seconds=bounded(wait))


@post("/v1/environments/{platform:str}/{name:str}/deployments/abort", sync_to_thread=True)
def abort(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[Word]) -> views.Begun:
    return queries(state).abort(f"{platform}/{name}", data)


@post("/v1/environments/{platform:str}/{name:str}/deployments/continue", sync_to_thread=True)
def go_on(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[Word]) -> views.Begun:
    return queries(state).go_on(f"{platform}/{name}", data)


@post("/v1/environments/{platform:str}/{name:str}/scale", sync_to_thread=True)
def scale(state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[ScaleRequest]) -> views.Scaled:
    return queries(state).scale(f"{platform}/{name}", data)


@post("/v1/environments/{platform:str}/{name:str}/maintenance", sync_to_thread=True)
def maintain(
    state: State, platform: FromPath[str], name: FromPath[str], data: JSONBody[MaintenanceRequest]
) -> views.MaintenanceList:
    return queries(state).maintain(f"{platform}/{name}", data)


@post("/v1/environments/{platform:str}/{name:str}/freeze", status_code=202, sync_to_thread=True)
def note_freeze(state: State, platform: FromPath[str], name: FromPath[str]) -> None:
    queries(state).note_freeze(f"{platform}/{name}")


@post("/v1/environments/{platform:str}/{name:str}/prepared", sync_to_thread=True)
def prepare(
    state: State,
    platform: FromPath[str],
    name: FromPath[str],
    data: JSONBody[PrepareRequest],
    wait: FromQuery[float] = 0,
) -> views.Prepared:
    return queries(state).prepare(f"{platform}/{name}", data, seconds=bounded(wait))


@post("/v1/environments/{platform:str}/{name:str}/down", status_code=202, sync_to_thread=True)
def down(state: State, platform: FromPath[str], name: FromPath[str], app: FromQuery[str | None] = None) -> None:
    queries(state).down(f"{platform}/{name}", app)


@get("/v1/environments/{platform:str}/{name:str}/events", sync_to_thread=True)
def events(
    state: State,
    platform: FromPath[str],
    name: FromPath[str],
    after: FromQuery[int] = 0,
    limit: FromQuery[int] = 1000,
    wait: FromQuery[float] = 0,
) -> views.EventList:
    if not 1 <= limit <= 10_000:
        raise Invalid(f"limit is {limit}, expected 1 to 10000")
    return queries(state).events(f"{platform}/{name}", after=after, limit=limit, seconds=bounded(wait))


@get("/v1/environments/{platform:str}/{name:str}/why", sync_to_thread=True)
def why(
    state: State,
    platform: FromPath[str],
    name: FromPath[str],
    subject: FromQuery[str],
    app: FromQuery[str | None] = None,
) -> Why:
    return queries(state).why(f"{platform}/{name}", subject, app)


@post("/v1/gc", sync_to_thread=True)
def clean(state: State, dry_run: FromQuery[bool] = False) -> views.CleanedView:
    return queries(state).clean(dry_run=dry_run)


def queries(state: State) -> Queries:
    found: Queries = state.queries
    return found


def bounded(seconds: float) -> float:
    return max(0.0, min(LONGEST_WAIT_SECONDS, seconds))


# --- errors -----------------------------------------------------------------------------------------------------------


def on_error(_: Request[Any, Any, Any], error: HomeportError) -> Response[views.ErrorBody]:
    return Response(views.error_body(error), status_code=error.http_status)


def on_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[views.ErrorBody]:
    """What litestar itself refuses: an unknown route, a body or parameter of the wrong shape."""
    where = f"{request.method} {request.url.path}"
    if error.status_code in (404, 405):
        return on_error(request, NotFound(f"{where}: there is no such call"))
    if error.status_code >= 500:
        return on_bug(request, error)
    extra = getattr(error, "extra", None)
    problems = extra if isinstance(extra, list) else []
    details = tuple(f"{each.get('key', '')}: {each.get('message', '')}" for each in problems if isinstance(each, dict))
    return on_error(request, Invalid(f"{where}: {error.detail}", details=details))


def on_bug(request: Request[Any, Any, Any], error: Exception) -> Response[views.ErrorBody]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    bug = Bug(f"{request.method} {request.url.path}: {type(error).__name__}", hint="homeport engine logs")
    return on_error(request, bug)
