"""Bytes carried between descriptors, several ways at once, no faster than they are taken. Used for what a person types
and reads, and what a program elsewhere reads and writes.
"""

import os
import select
from collections.abc import Callable, Collection

PIECE_BYTES = select.PIPE_BUF
"""What a descriptor that is ready takes without blocking, whatever its mode is: others may share it with us."""
_MOST_BYTES = 1 << 16


class Flow:
    """From `source` to `sink`. `at_end` is called once: when all that came has been carried to where it can get."""

    def __init__(self, source: int, sink: int, at_end: Callable[[], None]) -> None:
        self.source = source
        self.sink = sink
        self.carried = 0
        self._at_end = at_end
        self._waiting = b""
        self._dry = False
        self._ended = False

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def blocked(self) -> bool:
        """Whether something waits for the sink to take it."""
        return bool(self._waiting)

    def wishes(self) -> list[tuple[int, int]]:
        """(descriptor, event of poll(2)) that it waits for."""
        if self._ended:
            return []
        reads = not self._dry and len(self._waiting) < _MOST_BYTES
        return [(self.source, select.POLLIN)] * reads + [(self.sink, select.POLLOUT)] * bool(self._waiting)

    def move(self, ready: Collection[tuple[int, int]]) -> bool:
        """Whether it has got on."""
        before = self.carried, len(self._waiting), self._ended
        if (self.source, select.POLLIN) in ready and not self._dry:
            self._read()
        if (self.sink, select.POLLOUT) in ready and self._waiting:
            self._write()
        if self._dry and not self._waiting and not self._ended:
            self._ended = True
            self._at_end()
        return before != (self.carried, len(self._waiting), self._ended)

    def _read(self) -> None:
        try:
            piece = os.read(self.source, _MOST_BYTES)
        except BlockingIOError:
            return
        except OSError:  # a terminal whose other end was closed
            piece = b""
        self._dry = not piece
        self._waiting += piece

    def _write(self) -> None:
        try:
            count = os.write(self.sink, self._waiting[:PIECE_BYTES])
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more
            self._waiting, self._dry = b"", True
            return
        self._waiting = self._waiting[count:]
        self.carried += count


def carry(flows: Collection[Flow], others: Collection[int], seconds: float | None) -> tuple[bool, set[int]]:
    """After one step: whether any flow got on, and which of `others` are readable. Waits at most so long for it."""
    wanted: dict[int, int] = dict.fromkeys(others, select.POLLIN)
    for flow in flows:
        for descriptor, event in flow.wishes():
            wanted[descriptor] = wanted.get(descriptor, 0) | event
    poll = select.poll()
    for descriptor, events in wanted.items():
        poll.register(descriptor, events)
    ready: set[tuple[int, int]] = set()
    for descriptor, seen in poll.poll(None if seconds is None else max(0.0, seconds) * 1000):
        # An end or an error is found out by reading or writing.
        every = select.POLLHUP | select.POLLERR | select.POLLNVAL
        ready |= {(descriptor, event) for event in (select.POLLIN, select.POLLOUT) if seen & (event | every)}
    moved = [flow.move(ready) for flow in flows]
    return any(moved), {each for each in others if (each, select.POLLIN) in ready}
