"""The terminal that a person sits at. Called by whoever hands one on to a program elsewhere."""

import contextlib
import os
import termios
import tty
from collections.abc import Iterator


def size(descriptor: int) -> tuple[int, int]:
    """Lines and columns; of a usual one where it doesn't say."""
    try:
        columns, lines = os.get_terminal_size(descriptor)
    except OSError:
        columns, lines = 0, 0
    return lines or 24, columns or 80


def resize(descriptor: int, lines: int, columns: int) -> None:
    """Also tells the programs on it."""
    with contextlib.suppress(termios.error):  # it has gone
        termios.tcsetwinsize(descriptor, (lines, columns))


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Every key goes on as it is, Ctrl-C too. Afterwards the terminal is as it was, if it is still there."""
    saved = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)  # what was typed ahead is kept
        yield
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)
