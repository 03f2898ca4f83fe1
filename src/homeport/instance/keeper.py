"""The keeper of a session: a process inside a sandbox that starts one program there, and ends with all that came of it.

Forked by `enter`, which is the other end of `control`; it has left the host's files and processes behind by then, so it
imports nothing. Whatever the program starts stays below the keeper; it is all ended when the program has ended, when
`enter` says so, or when whoever holds `control` is gone.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import termios
import time
from typing import NoReturn

from msgspec import Struct

from homeport.system import namespace, process
from homeport.system.effect import effect

STOP = 0
"""What `control` gets to have everything ended; another number is a signal for the program and its group."""
MASTER, ENDED, REFUSED, BROKEN = b"m", b"e", b"r", b"b"
"""What `control` says, with a number behind it but for the first: here is the terminal's other end (as a descriptor);
it ended with that exit code; it couldn't be executed, or entered at all, because of that errno."""

_UNLOCK_PTY, _GET_PEER = 0x40045431, 0x5441
_HANG_UP_SECONDS, _KILL_AGAIN_SECONDS = 1.0, 0.01
_CAUGHT = "PIPE XFSZ INT QUIT TERM HUP CHLD WINCH TSTP TTIN TTOU CONT USR1 USR2"
_DEFAULTS = tuple(signal.Signals[f"SIG{name}"] for name in _CAUGHT.split())
"""Signals that Python, the command line or whoever started it may treat in a way of their own."""


class Command(Struct, frozen=True, kw_only=True):
    """One program inside. `environment` is the whole of it. `uid` as in `SandboxSpec`."""

    argv: tuple[str, ...]
    environment: dict[bytes, bytes]
    directory: str
    uid: int | None
    grace_seconds: float
    """From TERM to KILL, when it is ended before its time."""
    data_bytes: int | None = None
    """Limit of each process's data segment."""
    terminal: tuple[int, int] | None = None
    """Lines and columns; None: it gets pipes."""


def keep(control: socket.socket, command: Command, pipes: tuple[int, int, int] | None) -> NoReturn:
    """Never returns. `pipes`: the program's standard input, output and error; None: a terminal made here."""
    try:
        namespace.give_up_rights(command.uid)
        namespace.adopt_orphans()
        streams = pipes if pipes is not None else _terminal(control, command.terminal or (24, 80))
        _Keeper(control, command, streams).run()
    except OSError as error:
        tell(control, BROKEN, error.errno or 0)
    finally:
        os._exit(0)


def tell(control: socket.socket, what: bytes, number: int) -> None:
    """Nothing where nobody listens any more."""
    with contextlib.suppress(OSError):
        control.send(what + str(number).encode())


def _terminal(control: socket.socket, size: tuple[int, int]) -> tuple[int, int, int]:
    """The program's end of a new terminal of this sandbox's own; the other end goes to `control`."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _UNLOCK_PTY, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _GET_PEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    socket.send_fds(control, [MASTER], [master])
    os.close(master)
    return slave, slave, slave


class _Keeper:
    def __init__(self, control: socket.socket, command: Command, streams: tuple[int, int, int]) -> None:
        self.control = control
        self.command = command
        self.code: int | None = None
        """The program's exit code, once it has ended."""
        self.stages: list[tuple[float, signal.Signals]] = []
        """What everything still gets, and when, once it is to end."""
        self.wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        failed_read, failed_write = os.pipe2(os.O_CLOEXEC)
        self.program = os.fork()
        if self.program == 0:
            _become(command, streams, failed_write)
        os.close(failed_write)
        for each in set(streams):
            os.close(each)
        with open(failed_read, "rb") as failed:
            why = failed.read()
        if why:
            tell(control, REFUSED, int(why))
            os._exit(0)

    def run(self) -> None:
        """Everything has ended, and `control` has been told."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.wake_read, select.POLLIN)
        while self._reap():
            ready = dict(poll.poll(self._timeout_ms()))
            if self.wake_read in ready:
                os.read(self.wake_read, 4096)
            if self.control.fileno() in ready and not self._hear():
                poll.unregister(self.control)
            self._next_stage()
        tell(self.control, ENDED, 128 + signal.SIGKILL if self.code is None else self.code)

    def _reap(self) -> bool:
        """Whether anything lives. With the program's end it's time for the rest to go."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.program:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else 128 - code
                self.stages = [(0.0, signal.SIGKILL)]

    def _hear(self) -> bool:
        """Whether somebody is there to be heard."""
        said = self.control.recv(1)
        if said and said[0] != STOP:
            if self.code is None:
                send_group(self.program, said[0])
        elif not self.stages:
            now = time.monotonic()
            hang_up = [(now + _HANG_UP_SECONDS, signal.SIGHUP)] if self.command.terminal else []
            end = (now + self.command.grace_seconds, signal.SIGKILL)
            # A shell at a terminal ignores TERM, and ends when that hangs up.
            self.stages = [(now, signal.SIGTERM), *hang_up, end]
        return bool(said)

    def _timeout_ms(self) -> float | None:
        return max(0.0, self.stages[0][0] - time.monotonic()) * 1000 if self.stages else None

    def _next_stage(self) -> None:
        if not self.stages or self.stages[0][0] > time.monotonic():
            return
        _, number = self.stages.pop(0)
        send_all(process.descendants(os.getpid()), number)
        if not self.stages:
            self.stages = [(time.monotonic() + _KILL_AGAIN_SECONDS, number)]


@effect("session.signal")
def send_group(leader: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(leader, number)


@effect("session.kill")
def send_all(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue


def _become(command: Command, streams: tuple[int, int, int], failed: int) -> NoReturn:
    """This process is the program, in a session of its own; or `failed` gets the errno."""
    try:
        namespace.die_with_parent()
        os.setsid()
        if command.terminal is not None:
            fcntl.ioctl(streams[0], termios.TIOCSCTTY, 0)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.dup2(failed, 3, inheritable=False)
        failed = 3
        os.closerange(4, 1 << 20)
        signal.set_wakeup_fd(-1)
        for each in _DEFAULTS:
            signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if command.data_bytes is not None:
            resource.setrlimit(resource.RLIMIT_DATA, (command.data_bytes, command.data_bytes))
        os.umask(0o022)
        os.chdir(command.directory)
        os.execvpe(command.argv[0], command.argv, command.environment)
    except OSError as error:
        os.write(failed, str(error.errno).encode())
    finally:
        os._exit(127)
