"""An S3 server as a process of its own (moto), and a bucket in it that can be taken away, or fall silent."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

from tests.e2e.role import wait_for

PAGE = 100
"""Keys in one answer to a listing: with AWS's 1000, a test of the second page would write for seconds."""
_NUMBERS = count(1)

Answer = tuple[int, bytes, dict[str, str]]
"""Status, body, headers."""


class Server:
    """Knows every access key. `log` is a file for what it says."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "moto.server", "-p", "0"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
            )
        wait_for(lambda: b"Running on" in log.read_bytes(), "moto listens", 30)
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
        self._make()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a program reaches it."""
        return {
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket",
            "AWS_REGION": "eu-west-1",
        }

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
