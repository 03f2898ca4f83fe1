"""A real terminal that a person types a command into."""

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

from tests.e2e.person import Person

PATIENCE_SECONDS = 30


class Terminal:
    """`here` is the command's end; what it was like before the command is `before`."""

    def __init__(self, person: Person, *words: str, size: tuple[int, int] = (33, 99)) -> None:
        self._there, self.here = pty.openpty()
        self.resize(*size)
        self.before = self.settings()
        self.seen = b""
        if person.uid is not None:
            os.fchown(self.here, person.uid, -1)
        self.command = subprocess.Popen(
            ("setsid", "--ctty", *person.program, *words),
            cwd=person.app,
            env={**person.environ, "TERM": "xterm"},
            stdin=self.here,
            stdout=self.here,
            stderr=self.here,
            user=person.uid,
            group=person.uid,
            extra_groups=None if person.uid is None else [],
        )

    def type(self, text: str) -> None:
        os.write(self._there, text.encode())

    def until(self, text: str) -> str:
        """What is there to read up to that, from where the last call ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text.encode() not in self.seen:
            assert time.monotonic() < deadline, f"never {text!r}: {self.seen!r}"
            if select.select([self._there], [], [], 0.1)[0]:
                self.seen += os.read(self._there, 4096)
        found, self.seen = self.seen.split(text.encode(), 1)
        return found.decode()

    def resize(self, lines: int, columns: int) -> None:
        """The kernel tells whoever is in the foreground."""
        termios.tcsetwinsize(self._there, (lines, columns))

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.here)[:4]

    def hang_up(self) -> None:
        for end in (self._there, self.here):
            with contextlib.suppress(OSError):
                os.close(end)
        self._there = self.here = -1

    def ended(self) -> int:
        """The exit code."""
        return self.command.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self.hang_up()
        self.command.kill()
        self.command.wait()


@contextlib.contextmanager
def terminal(person: Person, *words: str) -> Iterator[Terminal]:
    made = Terminal(person, *words)
    try:
        yield made
    finally:
        made.close()
