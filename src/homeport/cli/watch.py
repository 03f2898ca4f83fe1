"""A command's output, shown again and again: for `--watch`."""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import NoReturn, TypeVar

from homeport.cli import output
from homeport.errors import Unavailable
from homeport.system.clock import pause

T = TypeVar("T")
SECONDS = 1.0
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"


def present(ask: Callable[[], T], show: Callable[[T], None], *, as_json: bool, watching: bool) -> None:
    """What `ask` gives, as JSON or by `show`: once, or with `watching` again and again, then one document a line."""

    def look() -> None:
        found = ask()
        if not as_json:
            show(found)
        elif watching:
            output.emit_line(found)
        else:
            output.emit(found)

    if watching:
        watch(look)
    look()


def watch(look: Callable[[], None]) -> NoReturn:
    """Never ends by itself. What `look` prints: on a terminal drawn over what was there, else printed whenever it is
    something new. An engine that is away is waited for."""
    live = output.live()
    before = None
    while True:
        text = _seen(look, live=live)
        if live:
            _draw(text, first=before is None)
        elif text != before:
            print(text, end="", flush=True)
        before = text
        pause(SECONDS)


class _Kept(io.StringIO):
    """What is printed, as if it were to the terminal."""

    def __init__(self, *, live: bool) -> None:
        super().__init__()
        self.live = live

    def isatty(self) -> bool:
        return self.live


def _seen(look: Callable[[], None], *, live: bool) -> str:
    kept = _Kept(live=live)
    try:
        with redirect_stdout(kept):
            look()
    except Unavailable as error:
        return f"{error.message}\n"
    return kept.getvalue()


def _draw(text: str, *, first: bool) -> None:
    import shutil

    size = shutil.get_terminal_size()
    # one line less than fits: the last line break would scroll
    lines = [line[: size.columns] for line in text.splitlines()[: size.lines - 1]]
    drawn = "".join(f"{line}{_REST_OF_LINE}\n" for line in lines)
    sys.stdout.write(f"{_CLEAR if first else ''}{_HOME}{drawn}{_REST_OF_SCREEN}")
    sys.stdout.flush()
