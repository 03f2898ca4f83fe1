"""Looks after what sends no event: HAProxy and the tree that supervises it, certificates renewed on disk, the packet
filter, what people run.

Started by the daemon; one thread."""

import logging
import threading

from homeport.engines.local import packet_filter
from homeport.engines.local.engine import LocalEngine
from homeport.engines.local.watch_tree import WatchTree
from homeport.errors import HomeportError

log = logging.getLogger("homeport.watchman")
LOOK_SECONDS = 1.0
TREE_EVERY = 5
"""Looks between two at the tree and at the balancer as a whole."""
FILTER_EVERY = 30
"""Looks between two at the packet filter, which a firewall that is loaded anew takes away."""


class Watchman:
    def __init__(self, engine: LocalEngine, tree: WatchTree) -> None:
        self.engine = engine
        self.tree = tree
        self._looks = 0
        self._unfiltered = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchman", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The thread has ended, and the packet filter is gone where nobody needs it any more."""
        self._ended.set()
        self._thread.join()
        try:
            packet_filter.release(self.engine.addresses)
        except HomeportError as error:
            log.warning("%s", error.message)

    def look(self) -> None:
        """HAProxy runs, equals the records, and which targets are down is noted for one that is started after a crash;
        the tree runs. What doesn't work is logged, and tried again at the next look."""
        try:
            if self._looks % TREE_EVERY == 0:
                self.tree.keep()
                self.engine.refresh()
            if not self.tree.haproxy_running():
                self.tree.start_haproxy()
            self.engine.note_checks()
            self.engine.note_sessions()
        except HomeportError as error:
            log.warning("%s %s", error.message, " ".join(error.details))
        if self._looks % FILTER_EVERY == 0:
            self._keep_filter()
        self._looks += 1

    def _keep_filter(self) -> None:
        """Instances run without it too: what keeps it from being loaded is said once."""
        try:
            packet_filter.keep()
            self._unfiltered = ""
        except HomeportError as error:
            if error.message != self._unfiltered:
                log.warning("other machines can reach the ports of instances: %s", error.message)
            self._unfiltered = error.message

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()
