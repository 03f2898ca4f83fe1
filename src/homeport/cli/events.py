"""`homeport events`: what happened, and why."""

from pathlib import Path

import click

from homeport.cli import options, output, place
from homeport.errors import Unavailable
from homeport.model.event import Event

POLL_SECONDS = 25.0


@click.command(
    epilog=options.example(
        "homeport events", "homeport events -f", "homeport events -n 20 --json", see="logs, deployment show"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on as they come.")
@click.option(
    "-n", "--lines", metavar="N", type=click.IntRange(1, 10000), default=100, help="The newest so many. Default: 100."
)
@options.common
def events(environment: str | None, directory: Path, as_json: bool, follow: bool, lines: int) -> None:
    """Show what was done, and why.

    With --follow and --json, one document a line.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    found = api.events(where, limit=lines)
    if as_json and not follow:
        output.emit({"environment": where, "events": found})
        return
    _show(found, as_json=as_json)
    newest = max((each.number for each in found), default=0)
    while follow:
        found = _wait(where, newest)
        _show(found, as_json=as_json)
        newest = max((each.number for each in found), default=newest)


def _wait(where: str, newest: int) -> tuple[Event, ...]:
    """An engine that restarts is waited for."""
    from homeport.system.clock import pause

    try:
        return place.client().events(where, after=newest, seconds=POLL_SECONDS)
    except Unavailable:
        pause(0.5)
        return ()


def _show(found: tuple[Event, ...], *, as_json: bool) -> None:
    for each in found:
        if as_json:
            output.emit_line(each)
        else:
            start = f"{output.when(each.at)} {each.kind:18} {each.subject:16} "
            output.line(f"{start}{each.message}", hanging=4)
