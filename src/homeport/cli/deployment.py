"""`homeport deployment`: how releases came to run."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.commands import Commands
from homeport.errors import HomeportError, NotFound
from homeport.model.deployment import Entry

if TYPE_CHECKING:
    from homeport.control.journal import Journals


@click.group(cls=Commands)
def deployment() -> None:
    """Deployments: their journals and verdicts."""


@deployment.command(
    "list",
    epilog=options.example(
        "homeport deployment list",
        "homeport deployment list --json",
        see="deployment show, deployment abort, release list",
    ),
)
@click.option("-n", "--lines", metavar="N", type=click.IntRange(1), default=20, help="The newest so many. Default: 20.")
@options.app
@options.common
def list_(environment: str | None, directory: Path, as_json: bool, lines: int, app: str | None) -> None:
    """List deployments, newest first. They are read from the store: the engine needn't run."""
    from homeport.console.derive import deployment_view

    where = place.stored_environment(directory, environment)
    app = place.app_name(directory, where, app)
    found = [deployment_view(each) for each in _journals(where, app).all()][::-1][:lines]
    if as_json:
        output.emit({"app": app, "environment": where, "deployments": found})
        return
    if not found:
        print(f"{app} was never deployed to {where}")
        return
    output.table(
        ("NUMBER", "RELEASE", "OVER", "VERDICT", "BEGUN", "BY", "WHY", "REASON"),
        [
            (
                each.number,
                each.release,
                each.previous,
                each.verdict or each.phase,
                output.ago(each.started_at),
                each.by,
                each.why,
                "" if each.verdict == "good" else each.summary,
            )
            for each in found
        ],
        spare=("BY", "WHY"),
    )


@deployment.command(
    epilog=options.example(
        "homeport deployment show",
        "homeport deployment show 7 --follow",
        codes={6: "with --follow: it isn't good"},
        see="events, logs",
    )
)
@click.argument("number", type=click.IntRange(1), required=False, shell_complete=candidates.deployments)
@click.option("-f", "--follow", is_flag=True, help="Until its verdict, if it goes on; then its exit code is that.")
@click.option(
    "-n", "--lines", metavar="N", type=click.IntRange(0), default=5, help="Of each instance's output. Default: 5."
)
@options.app
@options.common
def show(
    environment: str | None,
    directory: Path,
    as_json: bool,
    number: int | None,
    follow: bool,
    lines: int,
    app: str | None,
) -> None:
    """Show everything about a deployment, without a number about the newest.

    What it changed, when what happened, what was done to which instance and what that wrote, the release task's
    output, and the verdict with its evidence. Works for old ones, as far as journal, releases, events and logs are
    kept; for one that goes on, until now.
    """
    from homeport.cli.follow import follow as look_on
    from homeport.cli.follow import verdict

    where = place.stored_environment(directory, environment)
    app = place.app_name(directory, where, app)
    number = _newest(where, app) if number is None else number
    if follow:
        with output.Progress(quiet=as_json) as progress:
            ended = look_on(place.client(), where, app, number, progress)
        verdict(ended, app=app, release="the release", number=number, environment=where)
        if as_json:
            output.emit(ended)
        return
    from homeport.cli import deployment_page

    entries, waits_for = _journal(where, app, number)
    found = deployment_page.page_of(directory, where, entries, waits_for, lines=lines)
    if as_json:
        output.emit(found)
    else:
        deployment_page.show(found)


@deployment.command(
    epilog=options.example(
        "homeport deployment abort",
        'homeport deployment abort 7 --why "wrong branch"',
        see="deployment show, deployment continue, rollback",
    )
)
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--why", default="no reason given", metavar="TEXT", help="Why, for the journal.")
@options.app
@options.common
def abort(
    environment: str | None, directory: Path, as_json: bool, number: int | None, why: str, app: str | None
) -> None:
    """Take the deployment that goes on back, at any moment until its verdict.

    What served before serves again; ends when it does. A release task that runs is told to end, and killed after 10 s:
    what it did then can't be known. Exit code 6 where the release before can't be brought back.
    """
    from homeport.cli.follow import take_back

    api = place.running_engine()
    where = place.environment_id(directory, environment, api)
    app = place.app_name(directory, where, app)
    with output.Progress(quiet=as_json) as progress:
        ended = take_back(api, where, app, number, by=place.person(directory), why=why, progress=progress)
    if as_json:
        output.emit(ended)
        return
    print(output.printable(f"{app}: aborted {ended.evidence.summary}"))
    for line in ended.evidence.lines:
        print(f"  {output.printable(line)}")


@deployment.command(
    "continue",
    epilog=options.example(
        "homeport deployment continue", "homeport deployment continue 7", see="deploy, deployment abort"
    ),
)
@click.argument("number", type=click.IntRange(1), required=False)
@options.app
@options.common
def continue_(environment: str | None, directory: Path, as_json: bool, number: int | None, app: str | None) -> None:
    """Let a deployment go on that waits at its gate (`pause_after`).

    Ends with the verdict, as `deploy` does.
    """
    from homeport.cli.follow import see_through, verdict

    api = place.running_engine()
    where = place.environment_id(directory, environment, api)
    app = place.app_name(directory, where, app)
    found = api.go_on(where, app=app, number=number, by=place.person(directory))
    with output.Progress(quiet=as_json) as progress:
        ended = see_through(api, where, app, found, progress)
    verdict(ended, app=app, release="the release", number=found, environment=where)
    if as_json:
        output.emit(ended)


def _newest(where: str, app: str) -> int:
    found = _journals(where, app).newest()
    if not found:
        name = where.partition("/")[2]
        raise NotFound(f"{app} was never deployed to {name}", hint=f"homeport deploy -e {name}")
    return found


def _journal(where: str, app: str, number: int) -> tuple[tuple[Entry, ...], str]:
    """From the engine, which knows what is waited for; else from the store."""
    try:
        found = place.client().journal(where, app, number)
        return found.entries, found.waits_for
    except HomeportError:
        return _journals(where, app).read(number), ""


def _journals(where: str, app: str) -> "Journals":
    from homeport.control.journal import Journals
    from homeport.wiring import storage

    return Journals(storage.store(storage.home()), app, where.partition("/")[2])
