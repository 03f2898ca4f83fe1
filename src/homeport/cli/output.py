"""What commands print: tables, JSON, errors, progress. On a terminal lines fit, and long work has a live line; else,
and in a job of CI, lines are plain and whole."""

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
from msgspec.structs import replace

from homeport.cli import hint
from homeport.errors import HomeportError
from homeport.system.clock import SystemClock

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


LEAST_OF_A_COLUMN = 4
WORTH_READING = 20
"""Characters of a last column, before others are left out or cut for it."""
ARROW = "→ "
"""Before what is to be typed."""
NARROWEST = 30
"""Columns; where there are fewer, lines are left to the terminal."""
SAY_AGAIN_SECONDS = 30.0
"""Between two equal lines without a terminal: whoever reads a log sees that it goes on."""


def emit(value: Any) -> None:
    """One JSON document on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    print(text.decode())


def emit_line(value: Any) -> None:
    """One JSON document on one line: for streams."""
    print(msgspec.json.encode(value).decode(), flush=True)


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    indent: str = "",
    spare: Sequence[str] = (),
    cut: Sequence[str] = (),
) -> None:
    """Aligned columns; None and empty texts as `-`. Without a line of headers where all are empty. A terminal that is
    too narrow goes without the columns `spare`, the first of them first; then the columns `cut` are cut, then the last
    one."""
    lines = [list(headers), *([_cell(each) for each in row] for row in rows)]
    room = columns() - len(indent)
    for name in spare:
        if _width(lines) <= room:
            break
        at = lines[0].index(name)
        lines = [line[:at] + line[at + 1 :] for line in lines]
    for name in cut:
        at = lines[0].index(name)
        longest = max(WORTH_READING, _widths(lines)[at] - max(0, _width(lines) - room))
        lines = [[*line[:at], shortened(line[at], longest), *line[at + 1 :]] for line in lines]
    widths = _widths(lines)
    last = max(LEAST_OF_A_COLUMN, room - sum(width + 2 for width in widths[:-1]))
    for line in lines if any(headers) else lines[1:]:
        cells = [*line[:-1], shortened(line[-1], last)]
        print(indent + "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())


def shortened(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def line(text: str, *, hanging: int = 2, error: bool = False) -> None:
    """The text without control characters; what is to be typed names the environment. A terminal gets it wrapped
    between words, further lines moved in; words are never broken, for they may be something to copy. `error`: on
    standard error."""
    stream = sys.stderr if error else sys.stdout
    said, arrow, typed = printable(text).partition(ARROW)
    text = said + arrow + hint.completed(typed)
    room = columns(stream)
    if NARROWEST <= room < len(text):
        import textwrap

        start = text[: len(text) - len(text.lstrip())]
        text = textwrap.fill(
            text.lstrip(),
            room,
            initial_indent=start,
            subsequent_indent=start + " " * hanging,
            break_long_words=False,
            break_on_hyphens=False,
        )
    print(text, file=stream, flush=True)


def live() -> bool:
    """Whether lines may be drawn anew: on a terminal that can, and that somebody looks at."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not os.environ.get("CI")


def columns(stream: TextIO | None = None) -> int:
    """Columns that there are to print on: as many as one likes where that isn't a terminal."""
    if not (stream or sys.stdout).isatty():
        return sys.maxsize
    import shutil

    return shutil.get_terminal_size().columns


def _widths(lines: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _width(lines: list[list[str]]) -> int:
    """Without what may be cut of the last column."""
    *widths, last = _widths(lines)
    return sum(width + 2 for width in widths) + min(last, WORTH_READING)


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else printable(str(value))


def printable(text: str) -> str:
    """The text with control characters and bytes that aren't UTF-8 made visible: it can't change the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`3 min ago`."""
    seconds = max(0, int(((now or SystemClock().now()) - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def clock_time(moment: datetime) -> str:
    """Local time of day."""
    return f"{moment.astimezone():%H:%M:%S}"


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(moment: datetime) -> str:
    """For people at a terminal the local time, with its date unless that is today; else as `timestamp`."""
    if not sys.stdout.isatty():
        return timestamp(moment)
    here, today = moment.astimezone(), SystemClock().now().astimezone().date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(size_bytes: int) -> str:
    """`12.3 MB`."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes} B"


def show_error(error: HomeportError, *, as_json: bool) -> None:
    """JSON on standard output, so that a program reads one place; else words on standard error."""
    if as_json:
        from homeport.console.views import error_body

        body = error_body(error)
        if body.error.hint:
            body = replace(body, error=replace(body.error, hint=hint.completed(body.error.hint)))
        emit(body)
        return
    said = [f"error: {error.message}", *(f"  {each}" for each in error.details)]
    for each in (one for text in said for one in text.splitlines()):
        line(each, error=True)
    if error.hint:
        print(f"→ {printable(hint.completed(error.hint))}", file=sys.stderr)  # whole: it is to be typed


class Progress:
    """What a long command does just now. `quiet` (with --json): nothing. Used as a context, which on Ctrl-C says what
    goes on without the command."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = not quiet and live()
        self._status: Status | None = None
        self._console: Console | None = None
        self._waiting = ""
        self._said_at = 0.0
        self._goes_on = self._hint = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt and self._goes_on:
            if self._status is None and sys.stderr.isatty():
                print(file=sys.stderr)  # the terminal has shown ^C
            self.clear()
            line(f"stopped: {self._goes_on}", error=True)
            print(f"→ {printable(hint.completed(self._hint))}", file=sys.stderr)
        self.clear()

    def goes_on(self, text: str, hint: str = "") -> None:
        """From now on, what is to be said on Ctrl-C: what happens without this command, and what to type. Empty:
        nothing."""
        self._goes_on, self._hint = text, hint

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.quiet:
            return
        self.clear()
        line(text)

    def passing(self, text: str) -> None:
        """A line that is only of interest while it is the newest: on a terminal the next one takes its place."""
        if self.quiet:
            return
        if self._live:
            self._show(text.strip())
        else:
            print(printable(text), flush=True)

    def waiting(self, text: str) -> None:
        """What is waited for: a live line on a terminal, else a line each time that it changes, and now and then.
        Empty: nothing."""
        now = SystemClock().monotonic()
        if self.quiet or (text == self._waiting and (self._live or now - self._said_at < SAY_AGAIN_SECONDS)):
            return
        self._said_at = now
        if not text:
            self.clear()
            return
        self._waiting = text
        if self._live:
            self._show(text)
        else:
            print(f"  … {printable(text)}", flush=True)

    def _show(self, text: str) -> None:
        """As the live line, cut to one."""
        from rich.console import Console
        from rich.text import Text

        console = self._console = self._console or Console(highlight=False)
        line = Text(printable(text))
        line.truncate(max(1, console.width - len("⠋ ")), overflow="ellipsis")
        if self._status is None:
            self._status = console.status(line)
            self._status.start()
        else:
            self._status.update(line)

    def clear(self) -> None:
        self._waiting = ""
        if self._status is not None:
            self._status.stop()
            self._status = None
