"""The control plane inside a command, for an engine that nothing of ours runs beside: the same API, on a socket that
only this process knows. Wired by wiring; the command line asks it as it would ask a daemon.
"""

import tempfile
import threading
from pathlib import Path

from homeport.console.server import Server
from homeport.control.control import Control
from homeport.errors import HomeportError
from homeport.system.effect import effect


class Inside:
    """Answers from `start` to `end`. Only once it drives are deployments carried on."""

    def __init__(self, control: Control, *, version: str) -> None:
        self.control = control
        self._directory = tempfile.TemporaryDirectory(prefix="homeport-")
        self.socket = Path(self._directory.name) / "api.sock"
        self._server = Server(control, self.socket, version=version)
        self._loop: threading.Thread | None = None

    def start(self) -> None:
        self._server.start()

    def drive(self) -> None:
        """The loop runs. Harmless to repeat."""
        if self._loop is None:
            self._loop = threading.Thread(target=self.control.run, name="control", daemon=True)
            self._loop.start()

    def end(self) -> None:
        """What was asked for last is carried out, and whoever comes next needn't wait for this one's lease."""
        if self._loop is not None:
            self.control.end()
            self._loop.join(timeout=30)
            self.control.tick()
            self._let_go()
        self._server.stop()
        self._remove()

    def _let_go(self) -> None:
        apps = [app for each in self.control.environments.values() for app in each.apps.values()]
        for app in apps:
            try:
                app.lease.release()
            except HomeportError:
                continue  # it runs out by itself

    @effect("console.remove_directory")
    def _remove(self) -> None:
        self._directory.cleanup()
