"""`homeport cycle`: a group's instances replaced by new ones of the same release."""

from pathlib import Path

import click

from homeport.cli import candidates, group, options, output, place
from homeport.cli.client import Client
from homeport.console import views
from homeport.console.request import CycleRequest
from homeport.errors import Failed, Invalid

POLL_SECONDS = 0.2


@click.command(
    epilog=options.example(
        "homeport cycle web",
        "homeport cycle web --max-age 7d --batch 2",
        "homeport cycle web --cancel",
        codes={6: "a replacement failed and the cycle stopped, or it wasn't done in time"},
        see="ps, status, deploy",
    )
)
@click.argument("name", metavar="GROUP", shell_complete=candidates.groups)
@click.option("--max-age", "max_age", metavar="TIME", help="Only instances that are older. Default: all.")
@click.option("--batch", type=int, default=1, metavar="N", help="How many at a time. Default: 1.")
@click.option("--cancel", is_flag=True, help="Give up the one that goes on.")
@click.option("--no-wait", is_flag=True, help="Don't wait until it is done.")
@click.option("--timeout", "timeout_text", default="1h", metavar="TIME", help="How long to wait at most. Default: 1h.")
@options.common
def cycle(
    environment: str | None,
    directory: Path,
    as_json: bool,
    name: str,
    max_age: str | None,
    batch: int,
    cancel: bool,
    no_wait: bool,
    timeout_text: str,
) -> None:
    """Replace a group's instances by new ones, the oldest first.

    A new one is launched, becomes healthy and takes over; then an old one is drained and ends. It goes on without this
    command, and stops at the first replacement that fails.
    """
    from homeport.plan.quantity import parse_duration

    age_seconds = 0.0 if max_age is None else parse_duration(max_age, "--max-age").total_seconds()
    seconds = parse_duration(timeout_text, "--timeout").total_seconds()
    if cancel and (max_age is not None or batch != 1):
        raise Invalid("--cancel goes with none of --max-age and --batch", hint=f"homeport cycle {name} --cancel")
    api = place.client()
    where = place.environment_id(directory, environment, api)
    app, found = group.find(api.status(where), name, "homeport cycle …")
    by = place.person(directory)
    request = CycleRequest(app=app, group=found, by=by, max_age_seconds=age_seconds, batch=batch, cancel=cancel)
    changed = api.ask_cycle(where, request)
    document = {"environment": where, "app": app, "group": found, "changed": changed}
    if cancel:
        said = f"{app}/{found} isn't cycled any more" if changed else f"{app}/{found} wasn't being cycled"
        output.emit(document) if as_json else print(said)
        return
    before = _left(api, where, (app, found))
    if not no_wait:
        with output.Progress(quiet=as_json) as progress:
            progress.goes_on(f"the cycle of {app}/{found} goes on", f"homeport cycle {name} --cancel")
            _wait(api, where, (app, found), progress, seconds)
    if as_json:
        output.emit({**document, "instances": before})
    elif no_wait:
        print(f"{app}/{found}: {output.plural(before, 'instance')} to replace")
    else:
        print(f"{app}/{found}: {output.plural(before, 'instance')} replaced")


def _row(api: Client, where: str, name: group.GroupName) -> views.GroupView | None:
    apps = api.status(where).apps
    return next((row for app in apps for row in app.groups if (app.app, row.name) == name), None)


def _left(api: Client, where: str, name: group.GroupName) -> int:
    row = _row(api, where, name)
    return 0 if row is None or row.cycle is None else row.cycle.left


def _wait(api: Client, where: str, name: group.GroupName, progress: output.Progress, seconds: float) -> None:
    from homeport.system.clock import SystemClock, pause

    clock = SystemClock()
    until = clock.monotonic() + seconds
    while True:
        row = _row(api, where, name)
        if row is None or row.cycle is None:
            return
        hint = f"homeport status; homeport cycle {'/'.join(name)} --cancel"
        if row.cycle.stopped:
            left = output.plural(row.cycle.left, "instance")
            raise Failed(f"the cycle of {'/'.join(name)} has stopped, {left} left: {row.cycle.stopped}", hint=hint)
        if clock.monotonic() > until:
            raise Failed(f"not done after {seconds:g} s: {row.cycle.left} left", hint=hint)
        progress.waiting(f"{output.plural(row.cycle.left, 'instance')} left")
        pause(POLL_SECONDS)
