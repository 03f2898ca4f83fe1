import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from queue import Queue

import pytest
from msgspec import structs

from homeport.instance.probe import Prober, Result, Target
from homeport.model.platform import Health
from homeport.system.clock import SystemClock

FAST = Health(path="/health", interval=timedelta(seconds=0.02), timeout=timedelta(seconds=20))


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers as its class says; remembers what was asked."""

    protocol_version = "HTTP/1.1"
    status = 200
    headers_sent: tuple[tuple[str, str], ...] = ()
    asked: Queue[dict[str, str]]

    def do_GET(self) -> None:
        self.asked.put({"path": self.path, **self.headers})
        self.send_response(self.status)
        for name, value in self.headers_sent:
            self.send_header(name, value)
        body = b"b" * 2000
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def server(**settings: object) -> Iterator[type[Answers]]:
    handler = type("Handler", (Answers,), {"asked": Queue(), **settings})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        handler.port = made.server_port
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield handler
        finally:
            made.shutdown()
            thread.join()


@contextmanager
def raw(answer: bytes | None) -> Iterator[int]:
    """The port of something that reads nothing and says `answer` to whoever connects; None: says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept = []

        def serve() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    kept.append(connection)
                    if answer is not None:
                        connection.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


class Watcher:
    def __init__(self) -> None:
        self.changes: Queue[str] = Queue()
        self.prober = Prober(SystemClock(), self.changes.put)

    def first(self, port: int, health: Health = FAST, **fields: object) -> Result:
        """The first result of a target."""
        known: dict[str, object] = {"host": "shop.example"}
        target = Target(address="127.0.0.1", port=port, health=health, **(known | fields))  # type: ignore[arg-type]
        self.prober.watch("web-1", target)
        assert self.changes.get(timeout=30) == "web-1"
        result = self.prober.result("web-1")
        assert result is not None
        return result


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    try:
        yield made
    finally:
        made.prober.close()


def test_it_asks_as_clients_do(watcher: Watcher) -> None:
    with server() as handler:
        result = watcher.first(handler.port, proto="https")
        asked = handler.asked.get(timeout=30)
    assert (result.ok, result.succeeded) == (True, True)
    assert {name: asked[name] for name in ("path", "Host", "X-Forwarded-Proto")} == {
        "path": "/health",
        "Host": "shop.example",
        "X-Forwarded-Proto": "https",
    }


@pytest.mark.parametrize(
    ("status", "ok"), [(200, True), (204, True), (301, False), (400, False), (404, False), (500, False)]
)
def test_only_2xx_will_do(watcher: Watcher, status: int, ok: bool) -> None:
    sent = (("Location", "https://shop.example/"), ("Set-Cookie", "secret"))
    with server(status=status, headers_sent=sent) as handler:
        result = watcher.first(handler.port)
    assert result.probe is not None
    assert (result.ok, result.probe.status) == (ok, status)
    assert set(result.probe.headers) == {"location", "server"}
    assert result.probe.body in ("b" * 500, "")


def test_nobody_listens_then_somebody_does(watcher: Watcher) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        result = watcher.first(port)
        assert (result.ok, result.succeeded) == (False, False)
        assert result.probe is not None
        assert result.probe.error == "Connection refused"
        free.listen()
        watcher.prober.watch("tcp", Target(address="127.0.0.1", port=port, health=Health(), host="h"))
        assert watcher.changes.get(timeout=30) == "tcp"
        found = watcher.prober.result("tcp")
        assert found is not None
        assert found.ok


def test_it_turns_unhealthy_and_back(watcher: Watcher) -> None:
    with server() as handler:
        assert watcher.first(handler.port).ok
        handler.status = 503
        assert watcher.changes.get(timeout=30) == "web-1"
        result = watcher.prober.result("web-1")
        assert result is not None
        assert (result.ok, result.succeeded) == (False, True)
        handler.status = 200
        assert watcher.changes.get(timeout=30) == "web-1"


def test_one_failure_alone_does_not_count(watcher: Watcher) -> None:
    statuses = iter([200, 500])

    class Once:
        def __get__(self, *_: object) -> int:
            return next(statuses, 200)

    with server(status=Once()) as handler:
        assert watcher.first(handler.port).ok
        for _ in range(5):
            handler.asked.get(timeout=30)
        assert watcher.changes.empty()


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 200_000])
def test_garbage_is_a_failure(watcher: Watcher, answer: bytes) -> None:
    with raw(answer) as port:
        result = watcher.first(port)
    assert result.ok is False
    assert result.probe is not None
    assert result.probe.error


def test_silence_is_a_failure(watcher: Watcher) -> None:
    with raw(None) as port:
        result = watcher.first(port, structs.replace(FAST, timeout=timedelta(seconds=0.3)))
    assert result.ok is False
    assert result.probe is not None
    assert result.probe.error == "no answer within 0.3 s"


def test_an_endless_body_is_fine(watcher: Watcher) -> None:
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    with raw(chunk) as port:
        result = watcher.first(port)
    assert result.ok
    assert result.probe is not None
    assert result.probe.body == "hello"


def test_what_people_see_of_a_refusal_is_its_text(watcher: Watcher) -> None:
    pieces = b"6\r\nDisall\r\n9;x=y\r\nowed Host\r\n0\r\n\r\n"
    with raw(b"HTTP/1.0 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces) as port:
        result = watcher.first(port)
    assert result.probe is not None
    assert (result.ok, result.probe.status, result.probe.body) == (False, 400, "Disallowed Host")


def test_what_is_no_longer_watched_is_not_asked(watcher: Watcher) -> None:
    with server() as handler:
        watcher.first(handler.port)
        watcher.prober.unwatch("web-1")
        assert watcher.prober.result("web-1") is None
