"""Deaths of processes as events: one thread that waits on pidfds, of children or not; no polling.

Called by the engine.
"""

import contextlib
import os
import selectors
import threading
from collections.abc import Callable

from homeport.system import process


class Deaths:
    """`on_death` gets the key, from the watching thread, once per `watch`."""

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self._on_death = on_death
        self._lock = threading.Lock()
        self._watched: dict[str, int] = {}
        self._gone: list[str] = []
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="deaths", daemon=True)
        self._thread.start()

    def watch(self, key: str, pid: int, started: int) -> None:
        """Report the end of this very process; at once where it has ended. Replaces an earlier watch of the key."""
        self.unwatch(key)
        descriptor = process.open_pidfd(pid, started)
        with self._lock:
            if descriptor is None:
                self._gone.append(key)
            else:
                self._watched[key] = descriptor
                self._selector.register(descriptor, selectors.EVENT_READ, key)
        self._wake()

    def unwatch(self, key: str) -> None:
        """No report any more, unless one is just being made."""
        with self._lock:
            self._gone = [each for each in self._gone if each != key]
            self._forget(key)

    def close(self) -> None:
        """The thread has ended; nothing is reported any more. Not to be called from `on_death`."""
        self._closed = True
        self._wake()
        self._thread.join()
        with self._lock:
            for key in list(self._watched):
                self._forget(key)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full, so the thread will wake
            os.write(self._wake_write, b"w")

    def _forget(self, key: str) -> None:
        descriptor = self._watched.pop(key, None)
        if descriptor is not None:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _run(self) -> None:
        while not self._closed:
            ready = self._selector.select()
            with self._lock:
                ended, self._gone = self._gone, []
                for selected, _ in ready:
                    if selected.data is None:
                        os.read(self._wake_read, 4096)
                    elif self._watched.get(selected.data) == selected.fd and process.ended(selected.fd):
                        ended.append(selected.data)
                        self._forget(selected.data)
            for key in ended:
                self._on_death(key)
