"""What commands print: tables, JSON, errors, progress. On a terminal long work has a live line; else plain lines."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeport.console.views import error_body
from homeport.errors import HomeportError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


LEAST_OF_A_COLUMN = 4
WORTH_READING = 20
"""Characters of a last column, before others are left out for it."""


def emit(value: Any) -> None:
    """One JSON document on standard output."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    print(text.decode())


def emit_line(value: Any) -> None:
    """One JSON document on one line: for streams."""
    print(msgspec.json.encode(value).decode(), flush=True)


def table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, indent: str = "", spare: Sequence[str] = ()
) -> None:
    """Aligned columns; None and empty texts as `-`. Without a line of headers where all are empty. A terminal that is
    too narrow goes without the columns `spare`, the first of them first, and gets the last column cut."""
    lines = [list(headers), *([_cell(each) for each in row] for row in rows)]
    room = _room() - len(indent)
    for name in spare:
        if _width(lines) <= room:
            break
        at = lines[0].index(name)
        lines = [line[:at] + line[at + 1 :] for line in lines]
    widths = _widths(lines)
    last = max(LEAST_OF_A_COLUMN, room - sum(width + 2 for width in widths[:-1]))
    for line in lines if any(headers) else lines[1:]:
        cells = [*line[:-1], line[-1] if len(line[-1]) <= last else f"{line[-1][: last - 1]}…"]
        print(indent + "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())


def _room() -> int:
    """Columns that there are to print on: as many as one likes where that isn't a terminal."""
    if not sys.stdout.isatty():
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
    from homeport.system.clock import SystemClock

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
        emit(error_body(error))
        return
    lines = [f"error: {error.message}", *(f"  {each}" for each in error.details)]
    if error.hint:
        lines.append(f"→ {error.hint}")
    print("\n".join(printable(each) for line in lines for each in line.splitlines()), file=sys.stderr)


class Progress:
    """What a long command does just now. `quiet` (with --json): nothing. Used as a context."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = not quiet and sys.stdout.isatty()
        self._status: Status | None = None
        self._console: Console | None = None
        self._waiting = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self.quiet:
            return
        self.clear()
        print(printable(text), flush=True)

    def passing(self, text: str) -> None:
        """A line that is only of interest while it is the newest: on a terminal the next one takes its place."""
        if self.quiet:
            return
        if self._live:
            self._show(text.strip())
        else:
            print(printable(text), flush=True)

    def waiting(self, text: str) -> None:
        """What is waited for: a live line on a terminal, else a line each time that it changes. Empty: nothing."""
        if self.quiet or text == self._waiting:
            return
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
