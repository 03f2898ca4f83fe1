"""`homeport maintenance`: the public side is closed for a while, with a page that says so."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output, place
from homeport.cli.commands import Commands

if TYPE_CHECKING:
    from homeport.console.views import MaintenanceView


@click.group(cls=Commands)
def maintenance() -> None:
    """Maintenance: a page for visitors, while you work behind it."""


@maintenance.command(
    epilog=options.example(
        "homeport maintenance on",
        'homeport maintenance on --allow 192.0.2.7 --why "the database moves"',
        "homeport maintenance on --app blog",
        see="maintenance off, status, freeze",
    )
)
@click.option("--why", default="", metavar="TEXT", help="For `status` and the events; visitors don't see it.")
@click.option(
    "--allow", multiple=True, metavar="NETWORK", help="Let these through, beside those of the file. May be repeated."
)
@options.app
@options.common
def on(
    environment: str | None, directory: Path, as_json: bool, why: str, allow: tuple[str, ...], app: str | None
) -> None:
    """Answer visitors with a page and status 503.

    The page is the one that [maintenance] names, else a plain one. Instances run on, private names and health checks
    are answered, requests that have begun end. It stays, over deployments and reboots, until `maintenance off`; again:
    the newest page and networks hold.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    closed = api.maintain(where, on=True, app=app, by=place.person(directory), why=why, allow=allow)
    _print(where, closed, as_json=as_json)


@maintenance.command(
    epilog=options.example("homeport maintenance off", "homeport maintenance off --app blog", see="maintenance on")
)
@options.app
@options.common
def off(environment: str | None, directory: Path, as_json: bool, app: str | None) -> None:
    """Let visitors in again. Harmless where they are."""
    api = place.client()
    where = place.environment_id(directory, environment, api)
    _print(where, api.maintain(where, on=False, app=app, by=place.person(directory)), as_json=as_json)


def closed_in_words(found: "MaintenanceView") -> str:
    """`in maintenance since 12:00:00, by ada: the database moves; let through: 10.0.0.0/8`."""
    what = "in maintenance" if found.app is None else f"{found.app} in maintenance"
    why = f": {found.why}" if found.why else ""
    allow = f"; let through: {', '.join(found.allow)}" if found.allow else ""
    page = "" if found.own_page else "; a plain page"
    return f"{what} since {output.when(found.since_at)}, by {found.by}{why}{allow}{page}"


def _print(where: str, closed: "tuple[MaintenanceView, ...]", *, as_json: bool) -> None:
    if as_json:
        output.emit({"environment": where, "maintenance": closed})
        return
    if not closed:
        print(f"{where} is open")
    for each in closed:
        output.line(f"{where}: {closed_in_words(each)}")
