"""`homeport scale`: how many instances a group has."""

from pathlib import Path

import click

from homeport.cli import candidates, group, options, output, place
from homeport.cli.client import Client
from homeport.cli.follow import echo
from homeport.console.views import GroupView
from homeport.errors import Failed, Invalid
from homeport.model.deployment import Phase

POLL_SECONDS = 0.1


@click.command(
    epilog=options.example(
        "homeport scale web=3",
        "homeport scale web=3 jobs=2 --no-wait",
        codes={6: "the instances weren't there in time; the count is kept"},
        see="ps, deploy",
    )
)
@click.argument("sizes", nargs=-1, required=True, metavar="GROUP=COUNT...", shell_complete=candidates.sizes)
@click.option("--no-wait", is_flag=True, help="Don't wait until the instances are there.")
@click.option("--timeout", "timeout_text", default="5m", metavar="TIME", help="How long to wait at most. Default: 5m.")
@options.common
def scale(
    environment: str | None,
    directory: Path,
    as_json: bool,
    sizes: tuple[str, ...],
    no_wait: bool,
    timeout_text: str,
) -> None:
    """Set how many instances groups have.

    It holds over the file's `desired`, within its min and max. A deployment that goes on takes it over at once, for
    both releases, unless it is on its way back: then it holds from its end on.
    """
    from homeport.plan.quantity import parse_duration

    seconds = parse_duration(timeout_text, "--timeout").total_seconds()
    asked = [_parse(each) for each in sizes]
    api = place.client()
    where = place.environment_id(directory, environment, api)
    known = api.status(where)
    # all names first: a slip of the pen in the second changes nothing
    named = [(group.find(known, name, f"homeport scale …={count}"), count) for name, count in asked]
    by = place.person(directory)
    scaled = {(app, name): api.scale(where, app=app, group=name, count=count, by=by) for (app, name), count in named}
    if not no_wait:
        with output.Progress(quiet=as_json) as progress:
            for each in known.apps:
                if each.app in {app for app, _ in scaled} and each.deployment and not each.deployment.verdict:
                    back = each.deployment.phase == Phase.REVERTING.value
                    what = "goes back: the count holds from its end on" if back else "goes on, with this count"
                    progress.say(f"deployment {each.deployment.number} of {each.app} {what}")
            progress.goes_on("the sizes are kept, and the engine sees to the instances", "homeport ps --watch")
            settle(api, where, scaled, progress, seconds)
    if as_json:
        rows = [{"app": app, "group": name, "desired": count} for (app, name), count in scaled.items()]
        output.emit({"environment": where, "groups": rows})
        return
    for (app, name), count in scaled.items():
        print(f"{app}/{name}: {output.plural(count, 'instance')}")


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not name or not count.isascii() or not count.isdigit():
        raise Invalid(f"{text!r}: expected GROUP=COUNT, such as web=3")
    return name, int(count)


def settle(
    api: Client, where: str, wanted: dict[tuple[str, str], int], progress: output.Progress, seconds: float
) -> None:
    """Every group has so many, and all are healthy. Raises `Failed` after `seconds`."""
    from homeport.system.clock import SystemClock, pause

    clock = SystemClock()
    until = clock.monotonic() + seconds
    while True:
        echo(api, progress)
        rows = {(app.app, row.name): row for app in api.status(where).apps for row in app.groups}
        left = [
            f"{app}/{name} {rows[(app, name)].healthy}/{count}"
            for (app, name), count in wanted.items()
            if not _there(rows.get((app, name)), count)
        ]
        if not left:
            return
        notes = tuple(f"{key[1]}: {note}" for key in wanted if key in rows for note in rows[key].notes)
        if clock.monotonic() > until:
            raise Failed(
                f"not there after {seconds:g} s: {', '.join(left)}",
                details=notes,
                hint="homeport ps; it goes on without this command",
            )
        progress.waiting("; ".join((f"healthy: {', '.join(left)}", *notes)))
        pause(POLL_SECONDS)


def _there(row: GroupView | None, count: int) -> bool:
    return row is None or (row.healthy == count and row.running == count)
