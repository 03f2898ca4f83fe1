"""The control plane inside a command, for an engine that nothing of ours runs beside. Wired by wiring; the command line
asks it what it would ask a daemon.
"""

import threading

from homeport.console.asking import Asking
from homeport.console.queries import Queries
from homeport.control.control import Control
from homeport.errors import HomeportError


class Inside:
    """Only once it drives are deployments carried on."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.queries = Queries(control, threading.Event())
        self.asking = Asking(control)
        self._loop: threading.Thread | None = None

    def drive(self) -> None:
        """The loop runs. Harmless to repeat."""
        if self._loop is None:
            self._loop = threading.Thread(target=self.control.run, name="control", daemon=True)
            self._loop.start()

    def end(self) -> None:
        """What was asked for last is carried out, and whoever comes next needn't wait for this one's lease."""
        if self._loop is None:
            return
        self.control.end()
        self._loop.join(timeout=30)
        self.control.tick()
        for app in [app for each in self.control.environments.values() for app in each.apps.values()]:
            try:
                app.lease.release()
            except HomeportError:
                continue  # it runs out by itself
