"""HAProxy's runtime API over its two Unix sockets, and its answers as structs. Used by `engines.local.balancer`.

The stats socket belongs to the newest worker. The master socket knows all workers, old ones included: those that a
reload has replaced and that still carry connections.
"""

import csv
import io
import socket
from pathlib import Path

from msgspec import Struct

from homeport.errors import Unavailable
from homeport.plan.balancer import ServerId, ServerState
from homeport.plan.balancer_change import Running, RunningServer
from homeport.system.effect import effect

TIMEOUT_SECONDS = 5.0
FORCED_MAINT = 0x01 | 0x02
"""Bits of srv_admin_state (HAProxy's server-t.h): maintenance by command or text, or inherited."""
FORCED_DRAIN = 0x08 | 0x10
CHECK_ENABLED = 0x04
STOPPED = 0
FULL_HEALTH = 2
"""rise + fall - 1: the last check has passed. 1 is where a server begins, before any check."""


class Worker(Struct, frozen=True, kw_only=True):
    """`current` False: a reload has replaced it."""

    pid: int
    current: bool


class Usage(Struct, frozen=True, kw_only=True):
    """What a server has had since the present workers began. `in_flight`: requests and open connections now."""

    in_flight: int = 0
    requests: int = 0
    errors: int = 0
    """Responses with status 5xx, and requests that got none."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            in_flight=self.in_flight + other.in_flight,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
        )


class Processes(Struct, frozen=True, kw_only=True):
    """Answer to `show proc`. `failed`: reloads that couldn't start a worker, since the last one that could."""

    master: int
    failed: int
    workers: tuple[Worker, ...]


class Runtime:
    """Commands to a running HAProxy. Every method raises `Unavailable` where it doesn't answer."""

    def __init__(self, stats: Path, master: Path) -> None:
        self._stats = stats
        self._master = master

    def listening(self) -> bool:
        """Whether there is a master."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            try:
                connection.connect(str(self._master))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError as error:
                raise Unavailable(f"HAProxy's socket {self._master}: {error}") from error
        return True

    def processes(self) -> Processes:
        """The master and its workers, the current one first."""
        master, failed, workers, current = 0, 0, [], True
        for line in self._exchange(self._master, "show proc").splitlines():
            fields = line.split()
            if line.startswith("# old workers"):
                current = False
            if len(fields) > 1 and fields[0].isdigit():
                if fields[1] == "master":
                    master = int(fields[0])
                    failed = int(fields[4].rstrip("]")) if fields[3] == "[failed:" else 0
                if fields[1] == "worker":
                    workers.append(Worker(pid=int(fields[0]), current=current))
        return Processes(master=master, failed=failed, workers=tuple(workers))

    def ask(self, command: str, worker: Worker | None = None) -> str:
        """The answer of `worker` (None: the newest)."""
        if worker is None:
            return self._exchange(self._stats, command)
        return self._exchange(self._master, f"@!{worker.pid} {command}")

    @effect("haproxy.command")
    def tell(self, command: str, worker: Worker | None = None) -> str:
        """As `ask`, for a command that changes something."""
        return self.ask(command, worker)

    @effect("haproxy.reload")
    def reload(self) -> None:
        """The master was asked to read its text again and to replace the worker."""
        self._exchange(self._master, "reload")

    def fingerprint(self) -> str:
        """What the text that the newest worker runs on was called; "" if it doesn't say."""
        for line in self.ask("show info").splitlines():
            name, _, value = line.partition(":")
            if name == "description":
                return value.removeprefix(" homeport").strip()
        return ""

    def running(self, routes_map: str, worker: Worker | None = None) -> Running:
        """Servers and routes as `worker` has them."""
        backends = {}
        for line in self.ask("show backend", worker).splitlines():
            if line and not line.startswith("#"):
                backends[line.strip()] = dict[str, RunningServer]()
        for line in self.ask("show servers state", worker).splitlines():
            parsed = parse_server(line)
            if parsed is not None:
                (backend, name), server = parsed
                backends.setdefault(backend, {})[name] = server
        routes = set()
        for line in self.ask(f"show map {routes_map}", worker).splitlines():
            fields = line.split()
            if len(fields) == 3:
                routes.add((fields[1], fields[2]))
        known = self.fingerprint() if worker is None else ""
        return Running(fingerprint=known, backends=backends, routes=frozenset(routes))

    def usage(self, worker: Worker | None = None) -> dict[ServerId, Usage]:
        """Per server, what `worker` counted."""
        text = self.ask("show stat -1 4 -1", worker).removeprefix("# ")
        found = {}
        for row in csv.DictReader(io.StringIO(text)):
            if row.get("svname") and row.get("pxname"):
                found[(row["pxname"], row["svname"])] = Usage(
                    in_flight=_number(row, "scur") + _number(row, "qcur"),
                    requests=sum(_number(row, f"hrsp_{each}") for each in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")),
                    errors=_number(row, "hrsp_5xx") + _number(row, "eresp"),
                )
        return found

    def _exchange(self, path: Path, command: str) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_SECONDS)
                connection.connect(str(path))
                connection.sendall(command.encode() + b"\n")
                connection.shutdown(socket.SHUT_WR)
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise Unavailable(f"HAProxy doesn't answer on {path}: {error.strerror or error}") from error
        return b"".join(chunks).decode(errors="replace")


def _number(row: dict[str, str], name: str) -> int:
    value = row.get(name) or ""
    return int(value) if value.isdigit() else 0


def parse_server(line: str) -> tuple[ServerId, RunningServer] | None:
    """One line of `show servers state`; None for its other lines. Columns: HAProxy's management guide, 9.3."""
    fields = line.split()
    if len(fields) < 19 or line.startswith("#"):
        return None
    operational, admin, weight = int(fields[5]), int(fields[6]), int(fields[7])
    health, checks = int(fields[12]), int(fields[13])
    state: ServerState = "ready"
    if admin & FORCED_MAINT:
        state = "maint"
    elif admin & FORCED_DRAIN or weight == 0:
        state = "drain"
    checked = bool(checks & CHECK_ENABLED)
    up: bool | None = None
    if checked and state != "maint" and operational == STOPPED:
        up = False
    elif checked and state != "maint" and health >= FULL_HEALTH:
        up = True
    server = RunningServer(address=fields[4], port=int(fields[18]), state=state, checked=checked, up=up)
    return (fields[1], fields[3]), server
