"""An S3 server as a process of its own (moto), and a bucket in it that can be taken away, or fall silent."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.e2e.role import wait_for

PAGE = 100
"""Keys in one answer to a listing: with AWS's 1000, a test of the second page would write for seconds."""
ROOT = Path(__file__).parents[1]
_NUMBERS = count(1)

Answer = tuple[int, bytes, dict[str, str]]
"""Status, body, headers."""
Hook = Callable[[str, str, Callable[[], Answer]], Answer | None]


class Server:
    """Knows every access key. `log` is a file for what it says; `module`: the program, moto with what it lacks."""

    def __init__(self, log: Path, module: str = "tests.s3_server", **environ: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", module, "-p", "0"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE), **environ},
                cwd=ROOT,
            )
        wait_for(lambda: b"Running on" in log.read_bytes(), "moto listens", 120)
        found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
        assert found
        self.port = int(found[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """The answer to a request; moto looks at no signature."""
        scope = "AKIAEXAMPLE/20260101/eu-west-1/s3/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, signed if headers is None else dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()


class Bucket:
    """A new, empty one."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"bucket-{next(_NUMBERS)}"
        self.environment = {
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket",
            "AWS_REGION": "eu-west-1",
        }
        """Variables with which a program reaches it."""
        self._make()

    def url(self, prefix: str = "") -> str:
        return f"s3://{self.name}/{prefix}".rstrip("/")

    def keys(self) -> list[str]:
        found: list[str] = []
        while True:
            after = quote(found[-1], safe="") if found else ""
            _, text, _ = self.server.ask("GET", f"/{self.name}?list-type=2&start-after={after}")
            page = re.findall(r"<Key>(.*?)</Key>", text.decode())
            if not page:
                return found
            found += page

    def put(self, key: str, data: bytes) -> None:
        assert self.server.ask("PUT", f"/{self.name}/{quote(key)}", data)[0] == 200

    @contextmanager
    def gone(self) -> Iterator[None]:
        """There is no such bucket; afterwards it is as it was."""
        kept = {key: self.server.ask("GET", f"/{self.name}/{quote(key)}")[1] for key in self.keys()}
        for key in kept:
            assert self.server.ask("DELETE", f"/{self.name}/{quote(key)}")[0] == 204
        assert self.server.ask("DELETE", f"/{self.name}")[0] == 204
        try:
            yield
        finally:
            self._make()
            for key, data in kept.items():
                self.put(key, data)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server takes connections and never answers."""
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.process.send_signal(signal.SIGCONT)

    def _make(self) -> None:
        region = b"<LocationConstraint>eu-west-1</LocationConstraint>"
        where = b"<CreateBucketConfiguration>" + region + b"</CreateBucketConfiguration>"
        assert self.server.ask("PUT", f"/{self.name}", where)[0] == 200


@contextmanager
def between(bucket: Bucket, hook: Hook, *, strip: tuple[str, ...] = ()) -> Iterator[str]:
    """URL of an HTTP server in front of the real one. `hook` gets method, path and a call that asks the real one, and
    gives the answer; None: the connection breaks off. `strip`: headers that don't get through."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in strip}
            answer = hook(self.command, self.path, lambda: bucket.server.ask(self.command, self.path, body, headers))
            self.close_connection = True
            if answer is None:
                return
            status, content, headers = answer
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with suppress(OSError):  # who asked may have given up
                    self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(status: int, code: str) -> Answer:
    """An error as S3 tells it."""
    return status, f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>…</Message></Error>".encode(), {}
