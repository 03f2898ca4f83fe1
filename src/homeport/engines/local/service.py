"""One service of the watch tree, through the directory that its runsv holds. Never by `sv`, which polls every 420 ms.

Called by `engines.local.watch_tree` and `.balancer`. Only for services of our own: instances are another matter
(`instance.supervision`), for what they write isn't to be trusted.
"""

import os
from pathlib import Path

from homeport.system.effect import effect

_RUN = 1


class Service:
    """`directory`: what runsv was started with."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def supervised(self) -> bool:
        """Whether a runsv lives: it holds a FIFO open for reading, and without a reader that can't be opened."""
        return self._write("ok", b"")

    def pid(self) -> int | None:
        """Of the running process; None: there is none just now, or nobody supervises it.

        The status file is described in runit's `sv.c`: bytes 12–15 are the pid, little endian, 19 is the state."""
        if not self.supervised():
            return None
        try:
            status = (self.directory / "supervise" / "status").read_bytes()
        except FileNotFoundError:
            return None
        pid = int.from_bytes(status[12:16], "little") if len(status) >= 20 and status[19] == _RUN else 0
        return pid or None

    @effect("service.control")
    def control(self, commands: str) -> bool:
        """Whether there was a runsv to hear it: `u` up, and stay so; `d` down; `x` exit; `k` KILL (runsv(8))."""
        return self._write("control", commands.encode())

    def _write(self, fifo: str, data: bytes) -> bool:
        try:
            descriptor = os.open(self.directory / "supervise" / fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            os.write(descriptor, data)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True
