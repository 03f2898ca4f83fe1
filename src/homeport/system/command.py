"""A program of the user's, run to its end: what it writes is heard line by line, and nothing of it outlives its caller.

Called by the command line for hooks, where nothing may hang: not a program that is silent, nor one whose children keep
its output open.
"""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

POLL_SECONDS = 0.1
GRACE_SECONDS = 3.0
"""From TERM to KILL."""
AFTER_SECONDS = 0.5
"""How long output is still taken once the program has ended: a child in the background may hold it open for ever."""


def run(
    argv: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    limit: timedelta,
    heard: Callable[[str], None],
) -> int | None:
    """Its exit status, 128 + n where signal n ended it; None: it took longer than `limit`, and was ended. Raises
    `OSError` where it can't be run. Ctrl-C ends it, its children too, and is raised."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with _ctrl_c_waits():
            process = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        ended = _listen(process, time.monotonic() + limit.total_seconds(), heard)
    except BaseException:
        if process:
            _end(process)
        raise
    if not ended:
        _end(process)
        return None
    status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C counts at the end of this: a program that was started meanwhile would be known to nobody."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _listen(process: "subprocess.Popen[bytes]", until: float, heard: Callable[[str], None]) -> bool:
    """False: it goes on at the time `until`."""
    assert process.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector, process.stdout as output:
        selector.register(output, selectors.EVENT_READ)
        closed = False
        ended_at: float | None = None
        while not closed and (ended_at is None or time.monotonic() < ended_at + AFTER_SECONDS):
            if ended_at is None and time.monotonic() > until:
                break
            if selector.select(POLL_SECONDS):
                data = os.read(output.fileno(), 65536)
                closed = not data
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    heard(line.decode(errors="replace").rstrip("\r"))
            if ended_at is None and process.poll() is not None:
                ended_at = time.monotonic()
        if rest:
            heard(rest.decode(errors="replace"))
    while process.poll() is None and time.monotonic() <= until:
        try:
            process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return process.returncode is not None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It, and what it has started in its group, are gone."""
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            continue
