"""The API served on the Unix socket, in a thread beside the control loop. Started by the daemon."""

import asyncio
import logging
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import uvicorn
from litestar.concurrency import set_asyncio_executor

from homeport.console.api import make_app
from homeport.control.control import Control
from homeport.errors import Unavailable
from homeport.system.clock import pause
from homeport.system.effect import effect

POLLS = 64
"""Threads, so that many long polls at once don't keep short requests waiting; one costs memory only when used."""
START_SECONDS = 10.0
ACCEPTING_TURNS = 3
"""Of asyncio's loop, until a connection that it has accepted is one of uvicorn's."""
log = logging.getLogger("homeport.console")


class _Waiting(uvicorn.Server):
    """Waits until it is told to stop, where uvicorn's own looks ten times a second whether it is."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not await self.on_tick(0):
            await self._told.wait()
        # Who was accepted last is let go with the others. Closed at once, asyncio would forget it without closing it.
        for each in self.servers:
            for listener in each.sockets:
                self._loop.remove_reader(listener)
        for _ in range(ACCEPTING_TURNS):
            await asyncio.sleep(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for each in list(self.server_state.connections):  # better broken off than waited for
            if each.transport is not None:
                each.transport.abort()
        await asyncio.sleep(0)

    def tell(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told.set)


class Server:
    """Owns the socket's path: whoever runs one holds the home's lock, so a socket lying there is a dead one's."""

    def __init__(self, control: Control, socket_path: Path, *, version: str) -> None:
        self.control = control
        self.socket_path = socket_path
        self.stopping = threading.Event()
        self._threads = ThreadPoolExecutor(POLLS, thread_name_prefix="api")
        app = make_app(control, version=version, stopping=self.stopping)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            date_header=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
            ws="none",
            loop="asyncio",
        )
        self._server = _Waiting(config)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answering from now on. Raises `Unavailable` where the socket can't be made."""
        set_asyncio_executor(self._threads)
        try:
            listener = bind(self.socket_path)
        except OSError as error:
            raise Unavailable(f"can't listen on {self.socket_path}: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="api-server", daemon=True)
        self._thread.start()
        waited = 0.0
        while not self._server.started:
            if not self._thread.is_alive() or waited > START_SECONDS:
                raise Unavailable(f"the API on {self.socket_path} didn't start", hint="homeport engine logs")
            pause(0.005)
            waited += 0.005

    def stop(self) -> None:
        """Not answering any more; requests under way get their answers, or are broken off after two seconds. It may be
        repeated."""
        self.stopping.set()
        self._server.tell()
        with self.control.changed:
            self.control.changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
            unbind(self.socket_path)
        self._threads.shutdown(wait=False, cancel_futures=True)
        set_asyncio_executor(None)


@effect("console.bind")
def bind(path: Path) -> socket.socket:
    """A listening socket at `path`, for its owner only; it takes the place of one that lies there. Bound under another
    name first: at `path` there is never a socket that others may open or that nobody listens on."""
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o177)
        try:
            listener.bind(str(part))
        finally:
            os.umask(mask)
        listener.listen(128)
        part.rename(path)
    except BaseException:
        listener.close()
        raise
    return listener


@effect("console.unbind")
def unbind(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
