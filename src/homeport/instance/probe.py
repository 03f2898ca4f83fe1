"""Health checks of targets, in one background thread (an asyncio loop). Called by the engine.

Asked as clients see it: the Host of the first route, X-Forwarded-Proto. In quick succession until the first success,
then at the health section's interval. One failure after a success is asked again soon before it counts.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from homeport.model.fleet import Probe, Silence
from homeport.model.platform import Health
from homeport.ports.clock import Clock
from homeport.system.disk import is_full
from homeport.system.http import Head, parse_head

QUICK_SECONDS = 0.01
"""Until something listens; a refused connection costs next to nothing."""
AGAIN_SECONDS = 0.25
"""While it answers, but wrongly; and before a first failure counts."""

_HEADERS = ("location", "content-type", "server", "www-authenticate")
_HEAD_BYTES = 65536
_BODY_BYTES = 500
_BODY_SECONDS = 0.2


class Target(Struct, frozen=True, kw_only=True):
    """What to ask. `address` is a loopback address; `host` and `proto` as clients send them. `writes_to`: where it
    needs room."""

    address: str
    port: int
    health: Health
    host: str
    proto: Literal["http", "https"] = "http"
    writes_to: tuple[Path, ...] = ()


class Result(Struct, frozen=True, kw_only=True):
    """`ok` None: not asked yet. `since_at`: when `ok` became that. `succeeded`: it was ok at least once. `disk_full`:
    at one of the failures since then: what fills a disk and dies of it leaves room."""

    ok: bool | None = None
    since_at: datetime
    succeeded: bool = False
    probe: Probe | None = None
    disk_full: bool = False


class Prober:
    """`on_change` gets a key, from the probing thread, whenever its `ok` changes."""

    def __init__(self, clock: Clock, on_change: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._targets: dict[str, Target] = {}
        self._results: dict[str, Result] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="probes", daemon=True)
        self._thread.start()

    def watch(self, key: str, target: Target) -> None:
        """Probe from now on. The same target again changes nothing; another one starts afresh."""
        if self._targets.get(key) == target:
            return
        self._targets[key] = target
        self._results[key] = Result(since_at=self._clock.now())
        self._loop.call_soon_threadsafe(self._begin, key, target)

    def unwatch(self, key: str) -> None:
        """No probe any more, but for one that is just being made."""
        self._targets.pop(key, None)
        self._results.pop(key, None)
        self._loop.call_soon_threadsafe(self._end, key)

    def result(self, key: str) -> Result | None:
        """The latest; None: not watched."""
        return self._results.get(key)

    def close(self) -> None:
        """The thread has ended. Not to be called from `on_change`."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str, target: Target) -> None:
        self._end(key)
        self._tasks[key] = self._loop.create_task(self._follow(key, target))

    def _end(self, key: str) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _follow(self, key: str, target: Target) -> None:
        interval = target.health.interval.total_seconds()
        failures = 0
        while True:
            probe = await ask(target, self._clock)
            failures = 0 if probe.ok else failures + 1
            old = self._results.get(key)
            if self._targets.get(key) is not target or old is None:
                return
            doubtful = old.ok is True and failures == 1
            self._note(key, target, old, probe, ok=probe.ok or doubtful)
            if probe.ok or (old.succeeded and not doubtful):
                pause = interval
            else:
                pause = min(interval, QUICK_SECONDS if probe.status is None and not doubtful else AGAIN_SECONDS)
            await asyncio.sleep(pause)

    def _note(self, key: str, target: Target, old: Result, probe: Probe, *, ok: bool) -> None:
        changed = old.ok is not ok
        self._results[key] = Result(
            ok=ok,
            since_at=probe.at if changed else old.since_at,
            succeeded=old.succeeded or ok,
            probe=probe,
            disk_full=not probe.ok and (old.disk_full or any(is_full(each) for each in target.writes_to)),
        )
        if changed:
            self._on_change(key)


async def ask(target: Target, clock: Clock) -> Probe:
    """One probe, made. Never raises: what goes wrong is in it."""
    health = target.health
    where = f"{target.address}:{target.port}"
    asked = f"TCP connect to {where}" if health.path is None else f"GET {health.path} of {where}, Host {target.host}"
    try:
        async with asyncio.timeout(health.timeout.total_seconds()):
            if health.path is None:
                (await _connect(target)).close()
                return Probe(asked=asked, ok=True, at=clock.now())
            head, body = await _get(target, health.path)
    except TimeoutError:
        error = f"no answer within {health.timeout.total_seconds():g} s"
        return Probe(asked=asked, ok=False, at=clock.now(), error=error, silence=Silence.TIMEOUT)
    except (OSError, ValueError) as failure:
        error = os.strerror(failure.errno) if isinstance(failure, OSError) and failure.errno else str(failure)
        silence = Silence.REFUSED if isinstance(failure, ConnectionRefusedError) else Silence.OTHER
        return Probe(asked=asked, ok=False, at=clock.now(), error=error or type(failure).__name__, silence=silence)
    return Probe(
        asked=asked,
        ok=200 <= head.status <= 299,
        at=clock.now(),
        status=head.status,
        headers={name: head.headers[name] for name in _HEADERS if name in head.headers},
        body=body.decode(errors="replace"),
    )


async def _connect(target: Target) -> socket.socket:
    """A socket and not asyncio's streams, which take thrice as long: probes are most of what an idle engine does."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(made, (target.address, target.port))
    except BaseException:
        made.close()
        raise
    return made


async def _get(target: Target, path: str) -> tuple[Head, bytes]:
    """The answer's head, with the beginning of its body. Raises `OSError`, ValueError for what isn't HTTP."""
    loop = asyncio.get_running_loop()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {target.host}\r\nUser-Agent: homeport-health\r\nAccept: */*\r\n"
        f"X-Forwarded-Proto: {target.proto}\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n"
    )
    with await _connect(target) as connection:
        await loop.sock_sendall(connection, request.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            piece = await loop.sock_recv(connection, 65536)
            if not piece or len(received) > _HEAD_BYTES:
                raise ValueError("what came is no HTTP response")
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        found = parse_head(head)
        length = found.headers.get("content-length", "")
        enough = min(int(length), _BODY_BYTES) if length.isdecimal() else 2 * _BODY_BYTES
        # A body may never end, and says nothing that the status doesn't: it gets a moment, for people.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_BODY_SECONDS):
                while len(body) < enough and (piece := await loop.sock_recv(connection, 4096)):
                    body += piece
    chunked = found.headers.get("transfer-encoding", "").lower() == "chunked"
    return found, (_unchunked(body) if chunked else body)[:_BODY_BYTES]


def _unchunked(body: bytes) -> bytes:
    """As far as it is there."""
    found = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        try:
            length = int(line.partition(b";")[0], 16)
        except ValueError:
            break
        found, body = found + body[:length], body[length + 2 :]
    return found
