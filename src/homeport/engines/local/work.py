"""Long actions in threads of their own; which of them go on is known. Used by the local engine's parts."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger("homeport.engine")
PARALLEL = 8

Key = tuple[str, str]
"""(environment, instance, task, or app/release)."""


class Work:
    """`on_change` is called after each piece of work."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="work")
        self._going_on: set[Key] = set()

    def goes_on(self, key: Key) -> bool:
        return key in self._going_on

    def begin(self, key: Key, work: Callable[[], None]) -> None:
        """The work is done in a thread; what it raises is logged, for it has nobody to tell."""
        self._going_on.add(key)

        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("%s failed", " ".join(key))
            finally:
                self._going_on.discard(key)
                self._on_change()

        self._pool.submit(run)

    def close(self) -> None:
        """All work has ended."""
        self._pool.shutdown(wait=True)
