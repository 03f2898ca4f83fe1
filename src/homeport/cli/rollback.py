"""`homeport rollback`: back to what was good."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.errors import Conflict

if TYPE_CHECKING:
    from homeport.cli.client import Client


@click.command(
    epilog=options.example(
        "homeport rollback",
        "homeport rollback --to r7",
        "homeport rollback --keep-config",
        codes={6: "it isn't good either; what ran before runs again"},
        see="release list, release diff, deployment list",
    )
)
@click.option(
    "--to",
    "target_name",
    metavar="rN",
    shell_complete=candidates.releases,
    help="Release to go back to. Default: the last good one before.",
)
@click.option("--keep-config", is_flag=True, help="Keep today's config, such as credentials changed since.")
@click.option(
    "--abort", is_flag=True, help="Where a deployment goes on: abort it first. Without --to, that is the way back."
)
@options.over_freeze
@options.app
@options.common
def rollback(
    environment: str | None,
    directory: Path,
    as_json: bool,
    app: str | None,
    target_name: str | None,
    keep_config: bool,
    abort: bool,
    over_freeze: str | None,
) -> None:
    """Deploy what was good before.

    It becomes a new release: nothing is built, and the release task isn't run again. While a deployment goes on it is
    refused, before anything is done.
    """
    from homeport.cli import bring, code, freeze, hook, publish, standing
    from homeport.cli.deploy import finish
    from homeport.system.clock import SystemClock
    from homeport.wiring import storage

    api = place.running_engine()
    where = place.environment_id(directory, environment, api)
    app = place.app_name(directory, where, app)
    catalogue = storage.catalogue(storage.store(storage.home()))
    goes_on = bring.going_on(api, where, app)
    number = None if goes_on is None else goes_on.number
    if number is None or target_name is not None:
        freeze.check(catalogue.store, where, over_freeze)
        hook.check(directory, output.Progress(quiet=as_json))
    if number is not None:
        _abort(api, where, app, number, directory, allowed=abort, as_json=as_json and target_name is None)
        if target_name is None:
            return
    running = bring.running_release(api, catalogue, where, app)
    name = where.partition("/")[2]
    if target_name is None:
        target = catalogue.rollback_target(app, name, running)
    else:
        target = catalogue.get(app, name, target_name)
        bring.check_platform(target, where)
        if target.number == running.number:
            finish(code.Asked(directory=directory), target, as_json=as_json)  # which says so
            return
    by = place.person(directory)
    release = publish.roll_back(running, target, catalogue, keep_config=keep_config, by=by, now=SystemClock().now())
    if not as_json:
        was = f"{target.slug.commit[:10]} {target.slug.subject}"
        print(output.printable(f"{app}: from {running.id} back to {target.id} ({was}), as {release.id}"))
        if changes := standing.change_in_short(directory, catalogue, running, release):
            print(f"  changes: {changes}")
    asked = code.Asked(directory=directory, why=release.why, over_freeze=over_freeze)
    finish(asked, release, as_json=as_json)


def _abort(api: "Client", where: str, app: str, number: int, directory: Path, *, allowed: bool, as_json: bool) -> None:
    """The deployment that goes on is taken back. Raises `Conflict` unless that is `allowed`."""
    from homeport.cli.follow import take_back

    if not allowed:
        raise Conflict(
            f"deployment {number} of {app} goes on in {where}",
            hint=f"homeport rollback --abort   # or: homeport deployment show {number} --follow",
        )
    with output.Progress(quiet=as_json) as progress:
        ended = take_back(api, where, app, number, by=place.person(directory), why="rollback", progress=progress)
    if as_json:
        output.emit(ended)
