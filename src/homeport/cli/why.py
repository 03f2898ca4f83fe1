"""`homeport why`: the chain of causes of an instance, a group, a deployment or a session."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.system.clock import SystemClock

if TYPE_CHECKING:
    from homeport.model.why import Cause, Why

NARROWEST = 40
LONGEST_LINE = 400
"""Characters of a line that a program wrote."""


@click.command(
    epilog=options.example(
        "homeport why web-3",
        "homeport why web",
        "homeport why 7",
        "homeport why exec.4",
        "homeport why shop/web --json",
        codes={3: "nothing is known by that name; the nearest are named"},
        see="events, ps, logs, deployment show",
    )
)
@click.argument("subject", metavar="INSTANCE|GROUP|DEPLOYMENT|SESSION", shell_complete=candidates.subjects)
@options.app
@options.common
def why(environment: str | None, directory: Path, as_json: bool, subject: str, app: str | None) -> None:
    """Show why something is as it is: who wanted it, which rule fired on what, what it wrote, how it ended.

    Works for what has long ended too, for as long as events and logs are kept.
    """
    found = _found(directory, environment, subject, app)
    if as_json:
        output.emit(found)
        return
    for line in told(found, max(NARROWEST, output.columns())):
        print(line)


def _found(directory: Path, environment: str | None, subject: str, app: str | None) -> "Why":
    """Without an engine, from what it left on disk."""
    from homeport import daemon
    from homeport.wiring import engine

    home = place.home()
    if not daemon.running(home) and home.state.exists():
        return engine.past_why(home, place.stored_environment(directory, environment), subject, app)
    api = place.client()
    return api.why(place.environment_id(directory, environment, api), subject, app=app)


def told(found: "Why", columns: int) -> Iterator[str]:
    """The tree, in lines of at most so many characters, but for words that are longer."""
    yield from _wrapped(f"{found.summary} (in {found.environment}; times are UTC)", columns)
    yield from _branches(found.causes, "", columns)
    for each in found.unknown:
        yield from _wrapped(f"not known: {each}", columns)


def _branches(causes: "Sequence[Cause]", indent: str, columns: int) -> Iterator[str]:
    for number, each in enumerate(causes):
        last = number == len(causes) - 1
        yield from _branch(each, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "), columns)


def _branch(cause: "Cause", first: str, rest: str, columns: int) -> Iterator[str]:
    below = rest + ("│  " if cause.because else "   ")
    at = f"{_time(cause.at)} " if cause.at is not None else ""
    rule = f" [{cause.rule}]" if cause.rule else ""
    yield from _wrapped(f"{at}{cause.what}{rule}", columns, first, below)
    for text in cause.seen:
        yield from _wrapped(f"saw {text}", columns, below, below + "  ")
    for text in cause.lines:
        yield from _wrapped(output.shortened(text, LONGEST_LINE), columns, below, below + "  ")
    yield from _branches(cause.because, rest, columns)


def _time(moment: datetime) -> str:
    """UTC, as the times in reasons are; with the date unless that is today."""
    today = moment.date() == SystemClock().now().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"


def _wrapped(text: str, columns: int, first: str = "", rest: str = "  ") -> Iterable[str]:
    import textwrap

    return textwrap.wrap(
        output.printable(text),
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
