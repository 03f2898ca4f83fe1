"""`homeport run`: a command in a one-off instance."""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place, session
from homeport.console.derive import session_view
from homeport.errors import Failed, Invalid

if TYPE_CHECKING:
    from homeport.ports.session import Sessions

DETACHED_LIMIT = timedelta(hours=24)
POLL_SECONDS = 20.0


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog=options.example(
        'homeport run "python manage.py shell"',
        "homeport run -- python manage.py migrate --plan",
        "homeport run 'psql $DATABASE_URL' < dump.sql",
        'homeport run --detach --timeout 2h "python import.py"',
        "homeport logs -f --instance run.1   # what it writes",
        codes={124: "the time limit was reached", 127: "the command isn't there"},
        see="exec, ps",
    ),
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@options.app
@click.option(
    "--group",
    metavar="GROUP",
    shell_complete=candidates.groups,
    help="Whose config and memory it gets. Default: the one that runs web, else the first.",
)
@click.option(
    "--release",
    metavar="RELEASE",
    shell_complete=candidates.releases,
    help="Such as r5. Default: what new instances get.",
)
@click.option("--env", "given", multiple=True, metavar="KEY=VALUE", help="Over its config; KEY alone: as it is here.")
@click.option("--timeout", metavar="TIME", help="Ended after so long, such as 1h. Default: never; 24h with --detach.")
@click.option("-d", "--detach", is_flag=True, help="Don't wait: it goes on by itself, its output becomes its log.")
@click.option("--stop", metavar="ID", help="End a detached one instead, such as run.3.")
@options.common
def run(
    environment: str | None,
    directory: Path,
    as_json: bool,
    command: tuple[str, ...],
    app: str | None,
    group: str | None,
    release: str | None,
    given: tuple[str, ...],
    timeout: str | None,
    detach: bool,
    stop: str | None,
) -> int:
    """Run a command in a one-off instance.

    It gets the code, config and memory limit of a new instance, and a sandbox of its own, that ends with it. One word
    is a line for bash, as in the Procfile; several are a program and its arguments. At a terminal the command gets a
    terminal; else standard input, output and error are handed on as they are. Its exit code is homeport's; 124 at the
    time limit, 127 where the command isn't there.
    """
    from homeport.ports.session import Asked
    from homeport.wiring import engine

    where = place.environment_id(directory, environment, place.client())
    sessions = engine.sessions(place.home())
    if stop is not None:
        return _stop(sessions, where, stop, as_json=as_json)
    if not command:
        raise Invalid("run what?", hint='homeport run "ls -l"')
    limit = session.time_limit(timeout)
    asked = Asked(
        argv=session.argv(command),
        shown=session.shown(command),
        by=place.person(directory),
        timeout=DETACHED_LIMIT if detach and limit is None else limit,
    )
    variables = dict(_variable(each) for each in given)
    name = sessions.app(where, app)
    number = None if release is None else _prepared(sessions, where, name, release, quiet=as_json)
    if detach:
        begun = sessions.detach(where, asked, app=name, group=group, release=number, variables=variables)
        output.emit(session_view(begun)) if as_json else print(begun.id)
        return 0
    streams = session.streams(as_json=as_json)
    ended = sessions.run(where, asked, app=name, group=group, release=number, variables=variables, streams=streams)
    return session.show(ended, as_json=as_json)


def _stop(sessions: "Sessions", where: str, id_: str, *, as_json: bool) -> int:
    sessions.stop(where, id_)
    output.emit({"id": id_, "stopping": True}) if as_json else print(f"{id_} has been told to end")
    return 0


def _variable(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if equals:
        return key, value
    if key not in os.environ:
        raise Invalid(f"--env {key}: there is no {key} here", hint=f"--env {key}=VALUE")
    return key, os.environ[key]


def _prepared(sessions: "Sessions", where: str, app: str, release: str, *, quiet: bool) -> int:
    """Its number, once its layers lie ready. Raises `Invalid`, `NotFound`, `Failed`, `Unavailable`."""
    from homeport.plan.release import parse_number

    number = parse_number(release)
    if sessions.prepared(where, app, number):
        return number
    api = place.client()
    if not quiet:  # standard output is the command's
        print(f"preparing r{number}", file=sys.stderr)
    while True:
        found = api.prepare(where, app=app, release=number, seconds=POLL_SECONDS)
        if found.ready:
            return number
        if found.failed:
            raise Failed(f"r{number} of {app} can't be prepared: {found.failed}")
