"""`homeport scale`: how many instances a group has."""

from pathlib import Path

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.client import Client
from homeport.console.views import GroupView, StatusView
from homeport.errors import Failed, Invalid, NotFound

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

    It holds over the file's `desired`, within its min and max.
    """
    from homeport.plan.quantity import parse_duration

    seconds = parse_duration(timeout_text).total_seconds()
    asked = [_parse(each) for each in sizes]
    api = place.client()
    where = place.environment_id(directory, environment, api)
    known = api.status(where)
    # all names first: a slip of the pen in the second changes nothing
    named = [(_find(known, group), count) for group, count in asked]
    scaled = {(app, group): api.scale(where, app=app, group=group, count=count) for (app, group), count in named}
    if not no_wait:
        with output.Progress(quiet=as_json) as progress:
            progress.goes_on("the sizes are kept, and the engine sees to the instances", "homeport ps --watch")
            _wait(api, where, scaled, progress, seconds)
    if as_json:
        rows = [{"app": app, "group": group, "desired": count} for (app, group), count in scaled.items()]
        output.emit({"environment": where, "groups": rows})
        return
    for (app, group), count in scaled.items():
        print(f"{app}/{group}: {output.plural(count, 'instance')}")


def _parse(text: str) -> tuple[str, int]:
    group, _, count = text.partition("=")
    if not group or not count.isascii() or not count.isdigit():
        raise Invalid(f"{text!r}: expected GROUP=COUNT, such as web=3")
    return group, int(count)


def _find(known: StatusView, named: str) -> tuple[str, str]:
    """(app, group) of `web` or `shop/web`."""
    app, _, group = named.rpartition("/")
    there = [(each.app, row.name) for each in known.apps if each.release is not None for row in each.groups]
    fits = [each for each in there if each[1] == group and app in ("", each[0])]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join("/".join(each) for each in there) or "none"
    if not fits:
        for each in known.apps:
            if each.release is None and app in ("", each.app):
                from homeport.cli.bring import no_release

                raise no_release(known.environment, each)
        raise NotFound(f"{known.environment} has no group {named!r}; there is {names}")
    raise Invalid(
        f"{named!r} is a group of several apps; there is {names}", hint=f"homeport scale {'/'.join(fits[0])}=…"
    )


def _wait(
    api: Client, where: str, wanted: dict[tuple[str, str], int], progress: output.Progress, seconds: float
) -> None:
    from homeport.system.clock import SystemClock, pause

    clock = SystemClock()
    until = clock.monotonic() + seconds
    while True:
        groups = {(app.app, row.name): row for app in api.status(where).apps for row in app.groups}
        left = [
            f"{app}/{group} {groups[(app, group)].healthy}/{count}"
            for (app, group), count in wanted.items()
            if not _there(groups.get((app, group)), count)
        ]
        if not left:
            return
        if clock.monotonic() > until:
            raise Failed(
                f"not there after {seconds:g} s: {', '.join(left)}", hint="homeport ps; it goes on without this command"
            )
        progress.waiting(f"healthy: {', '.join(left)}")
        pause(POLL_SECONDS)


def _there(group: GroupView | None, count: int) -> bool:
    return group is None or (group.healthy == count and group.running == count)
