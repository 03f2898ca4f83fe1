"""A program inside a sandbox that runs: started, spoken to, ended with all that came of it. Called by the
local engine's `session` and by the agent.

Three processes: ours; a middle one, which joins the sandbox's memory limit and namespaces and stays outside of its pid
namespace; and in there the `keeper`, the program's parent. They are forks of ours, so that nothing of Homeport needs to
be in the sandbox; what is in there can't look into them. Whoever is killed, the keeper ends what it has started.
"""

import contextlib
import os
import signal
import socket
import termios
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from homeport.errors import Conflict, Unavailable
from homeport.instance import keeper
from homeport.instance.keeper import Command
from homeport.system import process
from homeport.system.effect import effect
from homeport.system.namespace import Namespaces, hide


class Said(Struct, frozen=True):
    """What a session has come to: the program's exit code, or the errno for which it couldn't be executed."""

    exit_code: int | None = None
    refused: int | None = None


class Entered:
    """A session that goes on. `control` is readable when there is news. The descriptors are the caller's to close:
    `terminal`, or else the ends of the program's standard input, output and error."""

    def __init__(self, control: socket.socket, middle: int, alive: int, pipes: tuple[int, int, int] | None) -> None:
        self.control = control
        self.pipes = pipes
        self.terminal: int | None = None
        self._middle = middle
        self._alive = alive

    def hear(self) -> Said | None:
        """News, waited for; None: it is the terminal, which is there from now on. Raises `Unavailable`."""
        data, descriptors, _, _ = socket.recv_fds(self.control, 64, 1)
        kind, rest = data[:1], data[1:]
        if kind == keeper.MASTER:
            self.terminal = descriptors[0]
            os.set_inheritable(self.terminal, False)
            return None
        if kind == keeper.REFUSED:
            return Said(refused=int(rest))
        if kind == keeper.BROKEN:
            raise Unavailable(f"can't enter the sandbox: {os.strerror(int(rest))}", hint="homeport doctor")
        # Without a word: the keeper was killed, most often with its whole sandbox.
        return Said(exit_code=int(rest) if kind == keeper.ENDED else 137)

    def signal(self, number: int) -> None:
        """For the program and its group; `keeper.STOP`: everything is to end."""
        with contextlib.suppress(OSError):  # it has ended
            self.control.send(bytes([number]))

    def close(self) -> None:
        """What still goes on is ended by its keeper, the sooner since nobody listens any more."""
        self.control.close()
        with contextlib.suppress(BrokenPipeError):  # it couldn't even begin
            os.write(self._alive, b".")
        os.close(self._alive)
        os.waitpid(self._middle, 0)


def enter(pid: int, started: int, command: Command, *, cgroup: Path | None, owned: bool) -> Entered:
    """The command begun in the sandbox of that process. `cgroup`: the file that it joins by. `owned`: the sandbox is
    there for this alone, and ends with us should we be killed. Raises `Conflict` where it has ended, `Unavailable`."""
    try:
        namespaces = Namespaces(pid, started)
        sandbox = process.open_pidfd(pid, started) if owned else None
    except (ProcessLookupError, FileNotFoundError) as error:
        raise Conflict("it has just ended") from error
    except OSError as error:
        raise Unavailable(f"can't enter the sandbox: {error}", hint="homeport doctor") from error
    with contextlib.ExitStack() as stack:
        stack.callback(namespaces.close)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(theirs.close)
        inner, outer = (None, None) if command.terminal else _pipes()
        for each in inner or ():
            stack.callback(os.close, each)
        saved = termios.tcgetattr(0) if command.terminal and os.isatty(0) else None
        kept = {theirs.fileno(), *(inner or ())}
        if sandbox is not None:
            stack.callback(os.close, sandbox)
        watching, alive = os.pipe()
        stack.callback(os.close, watching)
        left = _Left(watching=watching, terminal=saved, sandbox=sandbox)
        middle = begin(lambda: _middle(namespaces, theirs, command, inner, cgroup, left, kept))
        return Entered(ours, middle, alive, outer)


class _Left(Struct, frozen=True):
    """What is put right if we are killed: how our terminal was, and a sandbox that nobody else would end. `watching`: a
    pipe that gets a word from us when we have seen the end, or comes to its own end with us. Whose child one is says
    less: we lose our end of everything some time before our children."""

    watching: int
    terminal: list[Any] | None
    sandbox: int | None


@effect("session.begin")
def begin(child: Any) -> int:
    """Pid of a fork of ours that does nothing but `child`, which never returns."""
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(1)
    return pid


def _pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """(the program's ends, ours)."""
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
    return (in_read, out_write, err_write), (in_write, out_read, err_read)


def _middle(
    namespaces: Namespaces,
    control: socket.socket,
    command: Command,
    pipes: tuple[int, int, int] | None,
    cgroup: Path | None,
    left: _Left,
    kept: set[int],
) -> NoReturn:
    """Lives as long as the keeper."""
    os.setsid()
    hide()
    try:
        if cgroup is not None:
            join(cgroup)
        namespaces.enter()
        inside = os.fork()
        if inside == 0:
            namespaces.enter_user()
            _close_all_but(kept)
            _open_nothing()
            keeper.keep(control, command, pipes)
    except OSError as error:
        keeper.tell(control, keeper.BROKEN, error.errno or 0)
        os._exit(1)
    # An end of a pipe that is open here is one that never comes to its end.
    _close_all_but({0, left.watching, *([] if left.sandbox is None else [left.sandbox])})
    os.waitpid(inside, 0)
    if not os.read(left.watching, 1):
        if left.terminal is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, left.terminal)
        if left.sandbox is not None:
            end_sandbox(left.sandbox)
    os._exit(0)


@effect("session.end_sandbox")
def end_sandbox(pidfd: int) -> None:
    """Its pid 1, and with it everything inside, gets KILL."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


@effect("session.join_cgroup")
def join(cgroup: Path) -> None:
    cgroup.write_text("0")


def _close_all_but(kept: set[int]) -> None:
    """Of what we have open."""
    start = 0
    for each in (*sorted(kept), 1 << 20):
        if start < each:  # for (0, 0) Python closes all
            os.closerange(start, each)
        start = each + 1


def _open_nothing() -> None:
    """As 0 to 2."""
    while (free := os.open("/dev/null", os.O_RDWR)) < 3:
        pass
    os.close(free)
