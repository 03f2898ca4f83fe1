"""Processes that end inside an instance and are started again there, as events (inotify on what their supervisors
write): nothing else tells of one that is back before anybody asks.

Called by `observer`. Where the kernel gives no inotify, such an end is seen whenever somebody looks.
"""

import contextlib
import ctypes
import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

_IN_MOVED_TO = 0x80
_IN_ONLYDIR = 0x01000000
_IN_DONT_FOLLOW = 0x02000000
_MASK = _IN_MOVED_TO | _IN_ONLYDIR | _IN_DONT_FOLLOW
_MOST_BYTES = 65536
_BREATH_SECONDS = 0.1
"""An app can write there too: no more than ten reports a second, whatever it does."""
_libc = ctypes.CDLL(None, use_errno=True)
log = logging.getLogger("homeport.restart")


class Restarts:
    """`on_end` is called, from the watching thread, soon after a process has ended in a watched instance."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._lock = threading.Lock()
        self._watched: dict[str, tuple[int, ...]] = {}
        self._inotify: int = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._inotify < 0:
            log.warning("restarts inside instances are seen late: %s", os.strerror(ctypes.get_errno()))
        self._closing = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="restarts", daemon=True)
        self._thread.start()

    def watch(self, key: str, service_directory: Path) -> None:
        """From now on; again, it replaces an earlier watch of the key."""
        self.unwatch(key)
        directories = sorted(service_directory.glob("*/supervise"))
        with self._lock:
            self._watched[key] = tuple(self._add(directories))

    def unwatch(self, key: str) -> None:
        with self._lock:
            for each in self._watched.pop(key, ()):
                _libc.inotify_rm_watch(self._inotify, each)  # gone with its directory, where that is gone

    def close(self) -> None:
        """The thread has ended. Not to be called from `on_end`."""
        self._closing.set()
        os.write(self._wake_write, b"w")
        self._thread.join()
        for each in (self._inotify, self._wake_read, self._wake_write):
            with contextlib.suppress(OSError):
                os.close(each)

    def _add(self, directories: Iterable[Path]) -> Iterable[int]:
        for each in directories:
            watch = int(_libc.inotify_add_watch(self._inotify, os.fsencode(each), _MASK))
            if watch >= 0:
                yield watch

    def _run(self) -> None:
        poll = select.poll()
        for each in (self._inotify, self._wake_read):
            if each >= 0:
                poll.register(each, select.POLLIN)
        while not self._closing.is_set():
            poll.poll()
            with contextlib.suppress(OSError):
                found = os.read(self._inotify, _MOST_BYTES)
                # `finish` moves `exits` there, runsv other files; of a flood something is lost
                if b"exits\0" in found or len(found) > _MOST_BYTES // 2:
                    self._on_end()
            self._closing.wait(_BREATH_SECONDS)
