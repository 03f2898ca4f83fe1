"""`homeport logs`: what the processes wrote."""

import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.errors import HomeportError, Invalid, NotFound, Unavailable

if TYPE_CHECKING:
    from homeport.ports.engine import LogLine

DEFAULT_LINES = 200
TASK = re.compile(r"-d\d+$")
"""How names of a deployment's tasks end, which nobody lists once they have."""


@click.command(
    epilog=options.example(
        "homeport logs",
        "homeport logs -f --group web",
        "homeport logs --since 10m --grep 'error|warn'",
        see="events, engine logs",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come.")
@click.option(
    "--group", default="", metavar="GROUP", shell_complete=candidates.groups, help="Only instances of this group."
)
@options.app
@click.option(
    "--instance",
    default="",
    metavar="ID",
    shell_complete=candidates.instances,
    help="Only this instance; ended ones too.",
)
@click.option(
    "--process",
    default="",
    metavar="TYPE",
    shell_complete=candidates.processes,
    help="Only this process type.",
)
@click.option("--since", metavar="TIME", help="Not older than this, such as 10m.")
@click.option("--grep", default="", metavar="RE", help="Only lines that this regular expression finds.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=click.IntRange(0),
    help=f"The newest so many. Default: {DEFAULT_LINES}; all with --since.",
)
@options.common
def logs(
    environment: str | None,
    directory: Path,
    as_json: bool,
    follow: bool,
    app: str | None,
    group: str,
    instance: str,
    process: str,
    since: str | None,
    grep: str,
    lines: int | None,
) -> None:
    """Show what the processes wrote.

    In order of time. With --json, one document a line.
    """
    from homeport.plan.quantity import parse_duration
    from homeport.ports.engine import LogQuery
    from homeport.system.clock import SystemClock
    from homeport.wiring import engine

    try:
        re.compile(grep)
    except re.error as error:
        raise Invalid(f"--grep {grep!r} isn't a regular expression: {error}") from error
    age: timedelta | None = None if since is None else parse_duration(since, "--since")
    of_group, _, group_name = group.rpartition("/")
    if app and of_group and app != of_group:
        raise Invalid(f"--app {app} and --group {group} are of two apps")
    query = LogQuery(
        app=app or of_group,
        group=group_name,
        instance=instance,
        process=process,
        since_at=None if age is None else SystemClock().now() - age,
        pattern=grep,
        last=lines if lines is not None or since is not None else DEFAULT_LINES,
    )
    where = _environment(directory, environment)
    count = show(engine.logs(place.home(), where, query, follow=follow), as_json=as_json, flush=follow)
    if instance and not (count or follow or process or since or grep):
        _check_known(where, instance)


def _check_known(where: str, name: str) -> None:
    """Nothing, where what wrote nothing is an instance, a person's command or a task, or that can't be found out.
    Raises `NotFound`."""
    try:
        found = place.client().instances(where, ended=True)
    except HomeportError:
        return
    ids = [each.id for each in found.instances]
    ids += [*(each.id for each in found.sessions), *(each.id for each in found.tasks)]
    if name not in ids and not TASK.search(name):
        from homeport.plan.mistake import instead

        raise NotFound(f"{where} has no instance {name!r}{instead(name, ids)}", hint="homeport ps --all")


def show(lines: Iterable["LogLine"], *, as_json: bool, flush: bool) -> int:
    """How many there were: printed as they come. Also called by `engine logs`."""
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007 - the number of the last one
        if as_json:
            output.emit_line(line)
        else:
            text = output.printable(line.text)
            print(f"{output.timestamp(line.at)} {line.instance} {line.process} | {text}", flush=flush)
    return count


def _environment(directory: Path, asked: str | None) -> str:
    """Logs are read from disk: with a platform file, or a full name, no engine is needed."""
    try:
        return place.environment_id(directory, asked, place.client())
    except Unavailable as error:
        raise Unavailable(error.message, hint="name it in full: -e platform/environment") from error
