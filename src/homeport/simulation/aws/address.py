"""Addresses of simulated instances: 127.x.y.z, in blocks of which each belongs to one simulator. Called by `simulator`.

A block is held by a socket that listens on its last address: the kernel lets go of it whatever becomes of the program.
"""

import socket
import threading
from itertools import product

from homeport.errors import Unavailable

SECOND, THIRD = range(128, 192), range(256)
LAST = 254
GUARD_PORT = 28999


class Addresses:
    """None is given twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: list[socket.socket] = []
        self._blocks = product(SECOND, THIRD)
        self._block = ""
        self._next = LAST

    def take(self) -> str:
        """Raises `Unavailable` where all blocks are taken."""
        with self._lock:
            if self._next >= LAST:
                self._claim()
            self._next += 1
            return f"{self._block}.{self._next}"

    def close(self) -> None:
        for each in self._guards:
            each.close()

    def _claim(self) -> None:
        for second, third in self._blocks:
            guard = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                guard.bind((f"127.{second}.{third}.{LAST}", GUARD_PORT))
                guard.listen(1)
            except OSError:
                guard.close()
                continue
            self._guards.append(guard)
            self._block, self._next = f"127.{second}.{third}", 0
            return
        raise Unavailable("no addresses are left for simulated instances", hint="end other simulators of this machine")
