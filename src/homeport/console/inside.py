"""The control plane inside a command, for an engine that nothing of ours runs beside. Wired by wiring; a door of
`cli.client`, which asks it what it would ask a daemon.
"""

import threading
from collections import deque
from typing import TypeVar

import msgspec

from homeport.console.asking import Asking
from homeport.console.queries import Queries
from homeport.control.control import Control
from homeport.errors import HomeportError, NotFound

T = TypeVar("T")
READING = {"store", "environments", "status", "instances", "deployments", "journal", "events", "why", "clean"}
"""Calls after which nobody needs to carry on what goes on, unless they wait for it."""


class Inside:
    """Only once it drives are deployments carried on. `said`: instances, and what they answered to what they were
    told."""

    inside = True

    def __init__(self, control: Control, said: deque[tuple[str, str]]) -> None:
        self._said = said
        self.control = control
        self.queries = Queries(control, threading.Event())
        self.asking = Asking(control)
        self._loop: threading.Thread | None = None

    def ask(
        self,
        kind: type[T] | None,
        call: str,
        environment: str | None = None,
        body: msgspec.Struct | None = None,
        **named: str | float | None,
    ) -> T:
        """As `cli.client.Door`. Raises `NotFound` for the daemon's version."""
        if call == "version":
            raise NotFound("no daemon: the engine is AWS")
        if call not in READING or named.get("seconds"):
            self.drive()
        answering = self.asking if hasattr(self.asking, call) else self.queries
        stated = [each for each in (environment, body) if each is not None]
        answer: T = getattr(answering, call)(*stated, **named)
        return answer

    def heard(self) -> list[tuple[str, str]]:
        """As `cli.client.Door`."""
        return [self._said.popleft() for _ in range(len(self._said))]

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
