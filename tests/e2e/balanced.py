"""A real HAProxy under its real supervisor, real targets, and load: what the tests of the balancer stand on."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

from msgspec import structs

from homeport.engines.local.balancer import HaproxyBalancer
from homeport.engines.local.haproxy import Runtime
from homeport.engines.local.watch_tree import WatchTree
from homeport.model.platform import Health
from homeport.plan.balancer import Backend, Balancer, Forward, Frontend, Server, ServerState, public_name
from homeport.plan.balancer_change import Change, difference
from homeport.plan.balancer_text import ROUTES
from homeport.system.clock import pause
from homeport.system.home import Home

TARGET = Path(__file__).with_name("target.py")
ENVIRONMENT = "shop/production"
BACKEND = "b.shop.production.shop.web"
DAEMON = ("/bin/sleep", "100000")


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        pause(0.005)


def free_port(address: str = "127.0.0.1") -> int:
    return free_ports(1, address)[0]


def free_ports(count: int, address: str = "") -> list[int]:
    """Different ones that nobody has; at every address, where none is said."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in probes:
            each.bind((address, 0))
        return [int(each.getsockname()[1]) for each in probes]


class Target:
    """A backend process."""

    def __init__(self, name: str, port: int = 0) -> None:
        self.name = name
        self.process = subprocess.Popen(
            (sys.executable, "-I", "-S", str(TARGET), name, "127.0.0.1", str(port)), stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def server(self, state: ServerState = "ready") -> Server:
        return Server(name=f"{self.name}.1", address="127.0.0.1", port=self.port, state=state)

    def hits(self) -> dict[str, int]:
        return json.loads(get(self.port, "/hits").body)  # type: ignore[no-any-return]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Response:
    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        self.headers = {key.lower(): value.strip() for key, _, value in (each.partition(":") for each in lines[1:])}

    def seen(self) -> dict[str, str]:
        """The headers that the target got."""
        return json.loads(self.body)["headers"]  # type: ignore[no-any-return]


def get(port: int, path: str = "/", *, method: str = "GET", address: str = "127.0.0.1", **headers: str) -> Response:
    """One request on a connection of its own. Header names with `_` for `-`."""
    named = {"host": f"{address}:{port}", **{key.replace("_", "-"): value for key, value in headers.items()}}
    text = f"{method} {path} HTTP/1.1\r\nConnection: close\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items())
    with socket.create_connection((address, port), timeout=30) as connection:
        connection.sendall(text.encode() + b"\r\n")
        return Response(b"".join(iter(lambda: connection.recv(65536), b"")))


@contextlib.contextmanager
def websocket(port: int) -> Iterator[tuple[socket.socket, str]]:
    """An open WebSocket, as far as a proxy is concerned, and the name of the target."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        data = b""
        while not data.endswith(b"\n") or b"\r\n\r\n" not in data or data.endswith(b"\r\n\r\n"):
            chunk = connection.recv(1000)
            assert chunk, data
            data += chunk
        assert data.startswith(b"HTTP/1.1 101"), data
        yield connection, data.split(b"\r\n\r\n")[1].decode().strip()


def echoes(connection: socket.socket) -> bool:
    connection.sendall(b"ping")
    return connection.recv(100) == b"ping"


class Proxy:
    """HAProxy of a $HOMEPORT_HOME of its own, with one public frontend and one backend to begin with."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home", directory / "run" / "x")
        self.home.create()
        self.port = free_port()
        self.balancer = HaproxyBalancer(self.home)
        self.tree = WatchTree(self.home)
        self.targets: list[Target] = []
        self.desired = Balancer()
        self.runtime = Runtime(self.home.runtime / "haproxy.sock", self.home.runtime / "haproxy-master.sock")

    def start(self) -> None:
        self.tree.start(DAEMON, {"PATH": os.environ["PATH"]})
        self.balancer.sync(self.want())
        self.tree.start_haproxy()

    def reset(self, *names: str) -> None:
        """Balancing targets of these names, all up, which have seen nothing yet; those that live are kept."""
        kept = {each.name: each for each in self.targets if each.name in names and each.process.poll() is None}
        for target in self.targets:
            if target not in kept.values():
                target.kill()
        self.targets = list(kept.values())
        for name in names:
            if name in kept:
                get(kept[name].port, "/forget")
            else:
                self.target(name)
        self.targets.sort(key=lambda each: each.name)
        self.sync(self.want(*(each.server() for each in self.targets)))
        until(self.all_up, "all checks pass")

    def stop(self) -> None:
        for target in self.targets:
            target.kill()
        self.tree.stop()

    def target(self, name: str) -> Target:
        made = Target(name)
        self.targets.append(made)
        return made

    def want(self, *servers: Server, routes: tuple[Forward, ...] = (), more: tuple[Backend, ...] = ()) -> Balancer:
        """The desired state with these servers in the one backend."""
        backend = Backend(
            name=BACKEND,
            servers=servers,
            health=Health(path="/healthz", interval=timedelta(milliseconds=100)),
            host="www.example.com",
        )
        frontend = Frontend(
            name=public_name(ENVIRONMENT),
            listen=f"127.0.0.1:{self.port}",
            routes=routes or (Forward(backend=BACKEND),),
        )
        self.desired = Balancer(frontends=(frontend,), backends=(backend, *more))
        return self.desired

    def sync(self, desired: Balancer) -> None:
        self.desired = desired
        self.balancer.sync(desired)

    def reload(self) -> None:
        """Another frontend comes, so that HAProxy must be reloaded."""
        extra = Frontend(name=f"f.extra.{len(self.desired.frontends)}", listen=f"127.0.0.1:{free_port()}")
        workers = self.runtime.processes().workers
        self.sync(structs.replace(self.desired, frontends=(*self.desired.frontends, extra)))
        assert self.runtime.processes().workers[0] != workers[0], "there was no reload"

    def equal(self) -> bool:
        """Whether the running HAProxy is what is desired. A removed server stays while it ends connections: the next
        sync removes it."""
        end = time.monotonic() + 30
        while (left := self._left()).removed and time.monotonic() < end:
            self.balancer.sync(self.desired)
        return not left

    def _left(self) -> Change:
        fingerprint = self.runtime.fingerprint()
        assert f"description homeport {fingerprint}\n" in (self.home.runtime / "haproxy.cfg").read_text()
        running = self.runtime.running(str(self.home.runtime / ROUTES))
        return difference(self.desired, fingerprint, running)

    def get(self, path: str = "/", *, method: str = "GET", **headers: str) -> Response:
        return get(self.port, path, method=method, **headers)

    def checks(self) -> dict[str, bool | None]:
        """Of those that are wanted: a spare one may stay, in maintenance, as long as its target."""
        wanted = {each.name for backend in self.desired.backends for each in backend.servers}
        return {server: up for (_, server), up in self.balancer.server_checks().items() if server in wanted}

    def all_up(self) -> bool:
        return all(self.checks().values())


class Load:
    """Open-loop GET load: `rate` requests a second, on kept-alive and on fresh connections in turn. What wasn't a 200
    lands in `failures`. `tls`: what HTTPS is spoken with."""

    def __init__(self, port: int, rate: int = 300, path: str = "/", tls: ssl.SSLContext | None = None) -> None:
        self.port, self.rate, self.path, self.tls = port, rate, path, tls
        self.done = 0
        self.failures: list[str] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Load":
        self._thread.start()
        until(lambda: self.done > 20 or self.failures, "load has begun")
        return self

    def __exit__(self, *error: object) -> None:
        self.more(100)
        self._ending.set()
        self._thread.join()

    def more(self, count: int) -> None:
        """Returns when so many more requests are done."""
        goal = self.done + count
        until(lambda: self.done >= goal, f"{count} more requests")

    async def _run(self) -> None:
        loop, began, sent, tasks = asyncio.get_running_loop(), time.monotonic(), 0, set[asyncio.Task[None]]()
        while not self._ending.is_set():
            while sent < (time.monotonic() - began) * self.rate:
                sent += 1
                tasks.add(task := loop.create_task(self._one(keep=sent % 4 != 0)))
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(1 / self.rate)
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()

    async def _one(self, keep: bool) -> None:
        try:
            while self._idle and keep:
                reader, writer = self._idle.pop(0)
                if not reader.at_eof():
                    break
                writer.close()
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
            wish = "keep-alive" if keep else "close"
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: x\r\nConnection: {wish}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r\n")[0] or 0)
            await reader.readexactly(length)
            if not head.startswith("http/1.1 200"):
                self.failures.append(head.partition("\r\n")[0])
            if keep and "connection: close" not in head:
                self._idle.append((reader, writer))
            else:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(repr(error))
        self.done += 1
