"""Whoever waits for a session is connected to it: terminal or pipes, signals, time limit. Called by the local engine's
`session` and by the agent."""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from msgspec import Struct

from homeport.instance import keeper
from homeport.instance.enter import Entered, Said
from homeport.instance.sandbox import TIMED_OUT
from homeport.ports.session import Asked, Streams
from homeport.system import terminal
from homeport.system.relay import Flow, carry

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_ENDING = (signal.SIGHUP, signal.SIGTERM)
_PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_SILENCE_SECONDS = 0.25
_MOST_LEFT_BYTES = 1 << 20
"""What a program that has ended can have left in a pipe (pipe(7))."""


class Attended(Struct, frozen=True):
    """`told`: the signal that made us end it."""

    said: Said
    timed_out: bool = False
    told: signal.Signals | None = None


def is_terminal(streams: Streams) -> bool:
    return os.isatty(streams.stdin) and os.isatty(streams.stdout)


def attend(entered: Entered, streams: Streams, timeout: timedelta | None) -> Attended:
    """How it ended; all that it wrote has been passed on. Raises `Unavailable`."""
    with contextlib.ExitStack() as stack:
        wake = stack.enter_context(_signals())
        attendance = _Attendance(entered, streams, timeout, wake)
        if entered.pipes is None:
            said = entered.hear()
            if said is not None:
                return Attended(said)
            stack.enter_context(terminal.raw(streams.stdin))
            attendance.connect_terminal()
        else:
            attendance.connect_pipes(entered.pipes)
        return attendance.until_ended()


class _Attendance:
    def __init__(self, entered: Entered, streams: Streams, timeout: timedelta | None, wake: int) -> None:
        self.entered = entered
        self.streams = streams
        self.wake = wake
        self.deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        self.typed: list[Flow] = []
        self.written: list[Flow] = []
        self.timed_out = False
        self.told: signal.Signals | None = None
        self.open: set[int] = set()

    def connect_terminal(self) -> None:
        """Its end is nobody's wish: a terminal that we can't read is one that was hung up."""
        there = self.entered.terminal
        assert there is not None
        os.set_blocking(there, False)
        self.open = {there}
        self.typed = [Flow(self.streams.stdin, there, partial(self.end, signal.SIGHUP))]
        self.written = [Flow(there, self.streams.stdout, partial(self._close, ()))]
        terminal.resize(there, *terminal.size(self.streams.stdin))

    def connect_pipes(self, pipes: tuple[int, int, int]) -> None:
        stdin, stdout, stderr = pipes
        self.open = set(pipes)
        for each in pipes:
            os.set_blocking(each, False)
        self.typed = [Flow(self.streams.stdin, stdin, partial(self._close, (stdin,)))]
        self.written = [
            Flow(stdout, self.streams.stdout, partial(self._close, (stdout,))),
            Flow(stderr, self.streams.stderr, partial(self._close, (stderr,))),
        ]

    def until_ended(self) -> Attended:
        control = self.entered.control.fileno()
        try:
            said: Said | None = None
            while said is None:
                left = None if self.deadline is None else self.deadline - time.monotonic()
                _, ready = carry((*self.typed, *self.written), (control, self.wake), left)
                if self.wake in ready:
                    self._signalled()
                if control in ready:
                    said = self.entered.hear()
                elif left is not None and left <= 0:
                    self.deadline, self.timed_out = None, True
                    self.entered.signal(keeper.STOP)
            self._drain()
            return Attended(said, self.timed_out, self.told)
        finally:
            self._close(tuple(self.open))

    def end(self, why: signal.Signals) -> None:
        self.told = self.told or why
        if why is signal.SIGHUP:
            self.entered.signal(why)  # as a terminal tells who is on it
        self.entered.signal(keeper.STOP)

    def _signalled(self) -> None:
        for number in os.read(self.wake, 4096):
            if number == signal.SIGWINCH and self.entered.terminal is not None:
                terminal.resize(self.entered.terminal, *terminal.size(self.streams.stdin))
            elif number in _ENDING:
                self.end(signal.Signals(number))
            elif number in _PASSED_ON:
                self.entered.signal(number)

    def _drain(self) -> None:
        """What it had written when it ended. Others may hold its pipes open, and write: that isn't waited for."""
        before = sum(each.carried for each in self.written)
        while not all(each.ended for each in self.written):
            moved, ready = carry(self.written, (self.wake,), _SILENCE_SECONDS)
            if ready and any(number in (*_ENDING, signal.SIGINT) for number in os.read(self.wake, 4096)):
                return
            stuck = any(each.blocked for each in self.written)
            if not (moved or stuck) or sum(each.carried for each in self.written) - before > _MOST_LEFT_BYTES:
                return

    def _close(self, descriptors: tuple[int, ...]) -> None:
        for each in set(descriptors) & self.open:
            self.open.discard(each)
            os.close(each)


@contextlib.contextmanager
def _signals() -> Iterator[int]:
    """A descriptor that gets the number of each signal, as a byte. None of them ends or stops us meanwhile."""
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    wanted = (*_ENDING, *_PASSED_ON, signal.SIGWINCH)
    # What was ignored when we were started (nohup) stays so.
    heeded = [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _noted) for number in heeded}
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield read
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)


def _noted(*_: object) -> None:
    """It has gone to the descriptor."""


def explained(attended: Attended, asked: Asked) -> tuple[int, str]:
    """Exit code, and what to say about it; empty where the code says it all."""
    said = attended.said
    if said.refused is not None:
        return _refused(said.refused, asked.argv[0])
    code = 128 + signal.SIGKILL if said.exit_code is None else said.exit_code
    if attended.timed_out and asked.timeout is not None:
        return TIMED_OUT, f"ended at its time limit of {asked.timeout.total_seconds():g} s"
    if attended.told is signal.SIGHUP:
        return code, "ended: its terminal is gone"
    if attended.told is not None:
        return code, "ended: it was told to"
    if code == NOT_FOUND:
        return code, "a command wasn't found in the app or its image"
    return code, ""


def _refused(number: int, name: str) -> tuple[int, str]:
    if number in (errno.ENOENT, errno.ENOTDIR):
        return NOT_FOUND, f"no command {name!r} in the app or its image"
    return NOT_EXECUTABLE, f"{name!r} can't be executed: {os.strerror(number)}"
