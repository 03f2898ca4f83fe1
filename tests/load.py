"""An open-loop load generator in a process of its own: requests begin at a fixed rate, whatever became of those before.

GET, POST, HEAD and OPTIONS (or what is asked for) on fresh and on kept connections, of apps like `tests/apps/plain`.
Nothing is repeated: a refused or reset connection, a time-out, a status other than 200, a cut or wrong body each count
as a failure.
Imported by tests and benches.
"""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec import json as msgspec_json

MIXED = ("GET", "POST", "GET", "OPTIONS", "GET", "HEAD")
SAFE = ("GET", "HEAD", "OPTIONS")
"""What may be carried out twice, and so is repeated by the balancer where an instance dies."""
ROOT = Path(__file__).resolve().parent.parent
IDLE_SECONDS = 3.0
"""A kept connection that was idle for longer isn't used again; HAProxy's own limit is 10 s."""


class Report(Struct, frozen=True, kw_only=True):
    """What became of the requests. `latencies_ms`: of those that succeeded, from the moment when each was due.
    `releases`: answers per release."""

    sent: int
    failures: list[str]
    latencies_ms: list[float]
    releases: dict[str, int]


Reported = TypeVar("Reported")


class Load(Generic[Reported]):
    """A running generator, which ends when its input does, or, `counted`, by itself; `report` once it has ended.
    `read`: of what it said."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", read: Callable[[bytes], Reported], *, counted: bool = False
    ) -> None:
        self._process = process
        self._read = read
        self._counted = counted
        self._report: Reported | None = None

    @property
    def report(self) -> Reported:
        assert self._report is not None, "the load goes on"
        return self._report

    def end(self) -> Reported:
        """No request begins any more; those under way have ended."""
        if self._report is None:
            assert self._process.stdout is not None
            said = self._process.stdout.read() if self._counted else self._process.communicate(timeout=60)[0]
            assert self._process.wait() == 0, f"the load generator ended with {self._process.returncode}"
            self._report = self._read(said)
        return self._report


@contextlib.contextmanager
def running(
    argv: Sequence[str], read: Callable[[bytes], Reported], *, counted: bool = False
) -> Iterator[Load[Reported]]:
    """A generator, from its first request on until the block ends."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        found = Load(process, read, counted=counted)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n", "the load generator didn't begin"
            yield found
            found.end()
        finally:
            process.kill()


def load(
    url: str, *, rate: float = 150, methods: Sequence[str] = MIXED, timeout: float = 15
) -> "contextlib.AbstractContextManager[Load[Report]]":
    """Requests per second `rate`, from the first answer on until the block ends. `timeout`: seconds for each."""
    argv = (sys.executable, "-m", "tests.load", url, str(rate), ",".join(methods), str(timeout))
    return running(argv, lambda said: msgspec_json.decode(said, type=Report))


# --- the process ------------------------------------------------------------------------------------------------------

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter, float]


class Generator:
    def __init__(self, url: str, *, rate: float, methods: Sequence[str], timeout: float) -> None:
        self.host = urlsplit(url).hostname or ""
        self.port = urlsplit(url).port or 80
        self.rate = rate
        self.methods = itertools.cycle(methods)
        self.timeout = timeout
        self.idle: list[Connection] = []
        self.sent = 0
        self.failures: list[str] = []
        self.latencies: list[float] = []
        self.releases: Counter[str] = Counter()

    async def run(self, ended: asyncio.Event) -> Report:
        begun = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        while not ended.is_set():
            due = begun + self.sent / self.rate
            if (wait := due - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), wait)
                if ended.is_set():
                    break
            task = asyncio.create_task(self._request(self.sent, next(self.methods), due, begun))
            self.sent += 1
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)
        return Report(sent=self.sent, failures=self.failures, latencies_ms=self.latencies, releases=dict(self.releases))

    async def _request(self, number: int, method: str, due: float, begun: float) -> None:
        # Of every five, two on connections of their own.
        fresh = number % 5 in (1, 3)
        try:
            async with asyncio.timeout(self.timeout):
                await self._exchange(number, method, fresh=fresh)
        except Exception as error:
            kind = "fresh" if fresh else "kept"
            what = f"{type(error).__name__} {error}".strip()
            self.failures.append(f"{due - begun:.2f} s: {method} on a {kind} connection: {what}")
        else:
            self.latencies.append((time.monotonic() - due) * 1000)

    async def _exchange(self, number: int, method: str, *, fresh: bool) -> None:
        reader, writer = await self._connection(fresh=fresh)
        keep = False
        try:
            body = f"request {number} ".encode() * (1 + number % 50) if method == "POST" else b""
            path = "/echo" if method == "POST" else "/"
            head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n"
            head += "Connection: close\r\n\r\n" if fresh else "\r\n"
            writer.write(head.encode() + body)
            status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
            answer = b"" if method == "HEAD" else await reader.readexactly(int(headers["content-length"]))
            assert status == 200, f"status {status}"
            if method == "POST":
                assert answer == body, f"{len(body)} bytes sent, others came back: {answer[:40]!r}"
            elif method != "HEAD":
                assert answer.startswith(b"plain "), f"wrong body {answer[:40]!r}"
                self.releases[answer.split()[2].decode()] += 1
            keep = not fresh and headers.get("connection", "") != "close"
        finally:
            if keep:
                self.idle.append((reader, writer, time.monotonic()))
            else:
                writer.close()

    async def _connection(self, *, fresh: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while not fresh and self.idle:
            reader, writer, since = self.idle.pop()
            # One that the other side has closed is seen as such by any client.
            if time.monotonic() - since < IDLE_SECONDS and not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, self.port)


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), {key.strip().lower(): value.strip() for key, _, value in pairs}


async def _main(url: str, rate: str, methods: str, timeout: str) -> None:
    generator = Generator(url, rate=float(rate), methods=methods.split(","), timeout=float(timeout))
    ended = asyncio.Event()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    watching = asyncio.create_task(reader.read())
    watching.add_done_callback(lambda _: ended.set())
    print("begun", flush=True)
    report = await generator.run(ended)
    print(json.dumps({each: getattr(report, each) for each in Report.__struct_fields__}))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
