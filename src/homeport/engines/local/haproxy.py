"""HAProxy's runtime API over its two Unix sockets, and its answers as structs. Used by `engines.local.balancer`.

The stats socket belongs to the newest worker. The master socket knows all workers, old ones included: those that a
reload has replaced and that still carry connections.
"""

import csv
import io
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from homeport.errors import Unavailable
from homeport.plan.balancer import ServerId, ServerState
from homeport.plan.balancer_change import Running, RunningServer
from homeport.system.clock import pause
from homeport.system.effect import effect

TIMEOUT_SECONDS = 5.0
DEAF_SECONDS = 2.0
POLL_SECONDS = 0.005
LONGEST_LINE = 8000
"""Half of HAProxy's buffer."""
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
        """Whether there is a master or a worker. The master is deaf for some ms while it executes itself again, which
        it does at every start and reload."""
        return any(_accepts(path) for path in (self._master, self._stats))

    def answer(self) -> tuple[str, Processes] | None:
        """Fingerprint and processes; None: it doesn't run, or is between two workers or masters."""
        try:
            return self.fingerprint(), self._processes()
        except Unavailable:
            return None

    def processes(self) -> Processes:
        """The master and its workers, the current one first."""
        for _ in attempts(DEAF_SECONDS):
            try:
                return self._processes()
            except Unavailable as error:
                problem = error
        raise problem

    def _processes(self) -> Processes:
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
    def tell(self, *commands: str) -> str:
        """The answers, for commands that change something, one after the other. A replaced worker takes none: its
        proxies are disabled."""
        return "".join(self.ask(each) for each in _joined(commands))

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

    def running(self, routes_map: str) -> Running:
        """Servers and routes as the newest worker has them."""
        backends = {}
        for line in self.ask("show backend").splitlines():
            if line and not line.startswith("#"):
                backends[line.strip()] = dict[str, RunningServer]()
        for line in self.ask("show servers state").splitlines():
            parsed = parse_server(line)
            if parsed is not None:
                (backend, name), server = parsed
                backends.setdefault(backend, {})[name] = server
        entries = (line.split() for line in self.ask(f"show map {routes_map}").splitlines())
        routes = frozenset((fields[1], fields[2]) for fields in entries if len(fields) == 3)
        return Running(fingerprint=self.fingerprint(), backends=backends, routes=routes)

    def usage(self, worker: Worker) -> dict[ServerId, Usage]:
        """Per server, what `worker` counted. A replaced one to which clients keep idle connections has one more in
        flight to every server."""
        text = self.ask("show stat -1 5 -1", worker).removeprefix("# ")
        found, clients = {}, 0
        for row in csv.DictReader(io.StringIO(text)):
            if row.get("svname") == "FRONTEND":
                clients += _number(row, "scur")
            elif row.get("svname"):
                found[(row["pxname"], row["svname"])] = Usage(
                    in_flight=_number(row, "scur") + _number(row, "qcur"),
                    requests=sum(_number(row, f"hrsp_{each}") for each in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")),
                    errors=_number(row, "hrsp_5xx") + _number(row, "eresp"),
                )
        if not worker.current and clients > sum(each.in_flight for each in found.values()):
            return {server: usage + Usage(in_flight=1) for server, usage in found.items()}
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


def attempts(seconds: float) -> Iterator[None]:
    """Two at once, for most things are done as soon as they are asked for; then more until the time is over."""
    end = time.monotonic() + seconds
    yield
    yield
    while time.monotonic() < end:
        pause(POLL_SECONDS)
        yield


def _joined(commands: Sequence[str]) -> Iterator[str]:
    """As few lines as HAProxy's input buffer allows."""
    line = ""
    for command in commands:
        if line and len(line) + len(command) > LONGEST_LINE:
            yield line
            line = ""
        line = f"{line}; {command}" if line else command
    if line:
        yield line


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise Unavailable(f"HAProxy's socket {path}: {error}") from error
    return True


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
    if state != "maint" and operational == STOPPED:
        up = False
    elif checked and state != "maint" and health >= FULL_HEALTH:
        up = True
    server = RunningServer(address=fields[4], port=int(fields[18]), state=state, checked=checked, up=up, weight=weight)
    return (fields[1], fields[3]), server
