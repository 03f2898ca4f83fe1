"""What the balancer of one engine shall be: every environment's frontends, every group's backend, every server.

Pure. The engine builds a `Balancer` from its records, `plan.balancer_text` makes HAProxy's files of it,
`plan.balancer_change` finds out what a running HAProxy lacks. `docs/reference/balancer.md` says the same for people.
"""

import hashlib
import re
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.platform import Health, Tls

ServerState = Literal["ready", "drain", "maint"]
ServerId = tuple[str, str]
"""(backend, server): instance names are unique within an environment only."""

UNRELEASED = "unreleased"
"""Name of the backend that says 503 and why, for an environment whose first release is still to come. Always there."""

WEIGHT = 100
"""Of every server, where nothing else is said."""

MAX_STRIP_DEPTH = 6
"""Segments of a prefix that can be taken off: one rule of the text each, so that routes change without a reload."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
PATH = re.compile(r"/[A-Za-z0-9._~$+,=:@%/-]*")
CHECK_PATH = re.compile(r"/[A-Za-z0-9._~$+,=:@%/?&;!*()-]*")
ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
LISTEN = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-fA-F:]+\]|[A-Za-z0-9][A-Za-z0-9.-]*):([0-9]{1,5})")


class Server(Struct, frozen=True, kw_only=True):
    """A target. `name` is `<instance>.<generation>`, so that a new generation is a new server. `ready` only after the
    engine has probed it itself: HAProxy believes that a new server is up until its first check has failed. `spare`: it
    gets requests only while no other server of the backend is up. `weight`: 1 to 256, its part of the requests where
    the backend shares them by weight."""

    name: str
    address: str
    port: int
    state: ServerState = "maint"
    spare: bool = False
    weight: int = WEIGHT


class Backend(Struct, frozen=True, kw_only=True):
    """A group's servers, or (`upstream` set) one place outside. `host` and `proto` are what the health check says, as
    a client of the first route would. `by_weight`: requests go round by weight, else to the server with the fewest."""

    name: str
    servers: tuple[Server, ...] = ()
    health: Health = Health()
    host: str = "localhost"
    proto: Literal["http", "https"] = "http"
    drain: timedelta = timedelta(seconds=30)
    fail_open: bool = False
    """Its servers get requests whatever their checks say. Not in the text: a HAProxy that is started anew checks, until
    it is told."""
    upstream: str | None = None
    by_weight: bool = False


class Forward(Struct, frozen=True, kw_only=True):
    """One line of a route table: `host` None is any host; `path` is a prefix that ends at a segment's end."""

    backend: str
    host: str | None = None
    path: str = "/"
    strip_prefix: bool = False


class Closed(Struct, frozen=True, kw_only=True):
    """What a frontend answers itself, with status 503 and `page`: requests that go to `backends` (empty: all that it
    has a route for), but for those from the networks `allow`, and those for `open_paths`."""

    name: str
    page: str
    backends: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    open_paths: tuple[str, ...] = ()
    retry_after: timedelta = timedelta(minutes=5)


class Frontend(Struct, frozen=True, kw_only=True):
    """One listening address and its route table: an environment's public side, or a group's private name.
    `redirect_from`: another `address:port`, plain HTTP, whose requests are sent to this one by HTTPS."""

    name: str
    listen: str
    routes: tuple[Forward, ...] = ()
    tls: Tls | None = None
    redirect_from: str | None = None
    closed: tuple[Closed, ...] = ()


class Balancer(Struct, frozen=True, kw_only=True):
    """Everything that one HAProxy serves. The order of frontends, backends, servers, routes means nothing."""

    frontends: tuple[Frontend, ...] = ()
    backends: tuple[Backend, ...] = ()


def spare_of(server: Server) -> Server:
    """The same target once more: what a server that drains is besides, while others carry its group. A server can't be
    made a spare one while HAProxy runs, so it is another."""
    return Server(name=spare_name(server.name), address=server.address, port=server.port, state="ready", spare=True)


def spare_name(server: str) -> str:
    return f"{server}.spare"


def public_name(environment: str) -> str:
    """Name of an environment's public frontend; `environment` is a place's id."""
    return f"f.{_dotted(environment)}"


def whose(frontend: str) -> str:
    """What people call a frontend: the id of the environment, where it is its public one."""
    return frontend.removeprefix("f.").replace(".", "/") if frontend.startswith("f.") else frontend


def private_frontend(environment: str, app: str, group: str, listen: str) -> Frontend:
    """The frontend behind a group's private name."""
    backend = backend_name(environment, app, group)
    return Frontend(name=f"p{backend[1:]}", listen=listen, routes=(Forward(backend=backend),))


def backend_name(environment: str, app: str, group: str) -> str:
    """Name of a group's backend."""
    return f"b.{_dotted(environment)}.{app}.{group}"


def upstream_backend(environment: str, url: str) -> Backend:
    """The backend of an upstream outside; the same URL in the same environment gives the same one."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    return Backend(name=f"u.{_dotted(environment)}.{urlsplit(url).hostname or 'none'}.{digest}", upstream=url)


def _dotted(environment: str) -> str:
    return environment.replace("/", ".")


def split_upstream(url: str) -> tuple[str, str, int, str]:
    """(scheme, host, port, path prefix without trailing slash). Raises `Invalid`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid(f"upstream {url!r}: {error}") from error
    path = parts.path.rstrip("/")
    if parts.scheme not in ("http", "https") or not HOST.fullmatch(host) or parts.query or parts.username:
        raise Invalid(f"upstream {url!r}: expected http://host[:port][/path] or https://…")
    if path and not PATH.fullmatch(path):
        raise Invalid(f"upstream {url!r}: can't send requests under the path {path!r}")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


def depth(path: str) -> int:
    """How many segments a path prefix has."""
    return len([each for each in path.split("/") if each])


def problems(desired: Balancer) -> list[str]:
    """Why no HAProxy can be that, one line each; empty when one can. Ask before you record a change."""
    found = _frontend_problems(desired) + [line for each in desired.backends for line in _backend_problems(each)]
    names = [each.name for each in desired.frontends] + [each.name for each in desired.backends]
    found += [f"two frontends or backends are called {name}" for name in sorted(set(names)) if names.count(name) > 1]
    return found


def check(desired: Balancer) -> None:
    """Raises `Invalid` with all `problems` as its details."""
    found = problems(desired)
    if found:
        raise Invalid(
            f"the balancer can't be set up so: {found[0]}",
            hint="`listen`, `redirect` and [[routes]] in homeport.toml say what it is to be",
            details=tuple(found[1:]),
        )


def _frontend_problems(desired: Balancer) -> list[str]:
    found = []
    known = {each.name for each in desired.backends}
    taken: dict[str, str] = {}
    for frontend in desired.frontends:
        if not NAME.fullmatch(frontend.name):
            found.append(f"frontend name {frontend.name!r}: expected letters, digits, `_`, `.`, `-`")
        for listen in filter(None, (frontend.listen, frontend.redirect_from)):
            match = LISTEN.fullmatch(listen)
            if not match or not 0 < int(match[2]) < 65536:
                found.append(f"{frontend.name}: listen is {listen!r}, expected address:port")
            elif listen in taken:
                found.append(f"{whose(frontend.name)}: {listen} is already taken by {whose(taken[listen])}")
            taken[listen] = frontend.name
        seen: dict[tuple[str | None, str], str] = {}
        for route in frontend.routes:
            found += _route_problems(frontend.name, route, known)
            key = (route.host.lower() if route.host else None, normal_path(route.path))
            if seen.setdefault(key, route.backend) != route.backend:
                found.append(
                    f"{frontend.name}: {route.host or '*'}{route.path} goes to {seen[key]} and {route.backend}"
                )
    return found


def _route_problems(frontend: str, route: Forward, known: set[str]) -> list[str]:
    where = f"{frontend}: route {route.host or '*'}{route.path}"
    found = []
    if route.host is not None and not HOST.fullmatch(route.host):
        found.append(f"{where}: host is {route.host!r}, expected a host name without port")
    if not PATH.fullmatch(route.path):
        found.append(f"{where}: expected a path that begins with / (other characters as %XX)")
    if route.strip_prefix and depth(route.path) > MAX_STRIP_DEPTH:
        found.append(f"{where}: strip_prefix takes off at most {MAX_STRIP_DEPTH} segments")
    if route.backend not in known and route.backend != UNRELEASED:
        found.append(f"{where}: there is no backend {route.backend}")
    return found


def _backend_problems(backend: Backend) -> list[str]:
    found = []
    if not NAME.fullmatch(backend.name):
        found.append(f"backend name {backend.name!r}: expected letters, digits, `_`, `.`, `-`")
    if backend.upstream is not None:
        try:
            split_upstream(backend.upstream)
        except Invalid as error:
            found.append(f"{backend.name}: {error}")
    if backend.health.path is not None and not CHECK_PATH.fullmatch(backend.health.path):
        found.append(f"{backend.name}: health path {backend.health.path!r}: expected /path (other characters as %XX)")
    if not HOST.fullmatch(backend.host):
        found.append(f"{backend.name}: health checks can't say Host: {backend.host!r}")
    names = [each.name for each in backend.servers]
    for server in backend.servers:
        if not NAME.fullmatch(server.name) or names.count(server.name) > 1:
            found.append(f"{backend.name}: server name {server.name!r} is not a name, or used twice")
        if not ADDRESS.fullmatch(server.address) or not 0 < server.port < 65536:
            found.append(f"{backend.name}/{server.name}: {server.address}:{server.port} is no IPv4 address and port")
    return found


def normal_path(path: str) -> str:
    """The prefix with exactly one slash at its end: `/blog` doesn't match `/blogger` when both end so."""
    return path.rstrip("/") + "/"
