"""The door to the daemon: its API over its Unix socket, with nothing but the standard library: `ps` must start fast.

Called by `cli.client`. Errors come back as the exceptions of `homeport.errors` that they were.
"""

import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from homeport import __version__
from homeport.console import views
from homeport.errors import BY_KIND, Bug, HomeportError, Unavailable
from homeport.system import http
from homeport.system.clock import pause

T = TypeVar("T")
VERSION_HEADER = "Homeport-Version"
ANSWER_SECONDS = 30.0
"""How long an answer may take, beside what a long poll asked for."""

CLEANING_SECONDS = 3600.0
BACK_SECONDS = 5.0
LOOK_SECONDS = 0.05
ROUTES = {
    "version": ("GET", "/v1/version"),
    "store": ("GET", "/v1/store"),
    "clean": ("POST", "/v1/gc"),
    "environments": ("GET", "/v1/environments"),
    "status": ("GET", "/v1/environments/{environment}"),
    "instances": ("GET", "/v1/environments/{environment}/instances"),
    "deploy": ("POST", "/v1/environments/{environment}/deployments"),
    "go_on": ("POST", "/v1/environments/{environment}/deployments/continue"),
    "abort": ("POST", "/v1/environments/{environment}/deployments/abort"),
    "deployments": ("GET", "/v1/environments/{environment}/deployments"),
    "journal": ("GET", "/v1/environments/{environment}/deployments/{app}/{number}"),
    "scale": ("POST", "/v1/environments/{environment}/scale"),
    "maintain": ("POST", "/v1/environments/{environment}/maintenance"),
    "note_freeze": ("POST", "/v1/environments/{environment}/freeze"),
    "prepare": ("POST", "/v1/environments/{environment}/prepared"),
    "zone": ("POST", "/v1/environments/{environment}/fleet/zones"),
    "processes": ("POST", "/v1/environments/{environment}/fleet/processes"),
    "standby": ("POST", "/v1/environments/{environment}/fleet/standby"),
    "cycle": ("POST", "/v1/environments/{environment}/fleet/cycle"),
    "breakers": ("POST", "/v1/environments/{environment}/fleet/breakers"),
    "down": ("POST", "/v1/environments/{environment}/down"),
    "events": ("GET", "/v1/environments/{environment}/events"),
    "why": ("GET", "/v1/environments/{environment}/why"),
}
"""Call → the API's route for it. What isn't named in the path goes into the query."""

QUERY_NAMES = {"seconds": "wait", "known": "waits_for"}


class SocketDoor:
    inside = False

    def __init__(self, socket_path: Path, *, version: str = __version__) -> None:
        self.socket_path = socket_path
        self.version = version

    def heard(self) -> list[tuple[str, str]]:
        return []  # instances here are told nothing that they could answer

    def ask(
        self,
        kind: type[T] | None,
        call: str,
        environment: str | None = None,
        body: msgspec.Struct | None = None,
        **named: str | float | None,
    ) -> T:
        method, path, query = _route(call, environment=environment, **named)
        timeout = (CLEANING_SECONDS if call == "clean" else float(named.get("seconds") or 0)) + ANSWER_SECONDS
        data = b"" if body is None else msgspec.json.encode(body)
        request = (
            f"{method} {path}{query} HTTP/1.1\r\n"
            f"Host: homeport\r\nConnection: close\r\n{VERSION_HEADER}: {self.version}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        try:
            head, answer = self._answer(request.encode() + data, timeout, again=method == "GET")
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
        """A daemon that ends takes its socket away. Where nobody listens on it, or what does breaks off, it was killed,
        and is soon back. Raises `OSError`, ValueError. `again`: what it may have begun can be asked once more."""
        waited = 0.0
        while True:
            try:
                return http.whole(self._exchange(request, timeout))
            except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError, ValueError) as error:
                nothing_begun = isinstance(error, ConnectionRefusedError)
                if waited >= BACK_SECONDS or not (again or nothing_begun):
                    raise
            pause(LOOK_SECONDS)
            waited += LOOK_SECONDS

    def _exchange(self, request: bytes, timeout: float) -> bytes:
        """All that comes. Raises `OSError`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(self.socket_path))
            connection.sendall(request)
            received = bytearray()
            while piece := connection.recv(65536):
                received += piece
        return bytes(received)


def _route(call: str, **named: str | float | None) -> tuple[str, str, str]:
    """Method, path, query with its question mark."""
    method, template = ROUTES[call]
    stated = {QUERY_NAMES.get(key, key): _text(value) for key, value in named.items() if value is not None}
    path = re.sub(r"\{(\w+)\}", lambda found: quote(stated.pop(found[1])), template)
    return method, path, f"?{urlencode(stated)}" if stated else ""


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


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
