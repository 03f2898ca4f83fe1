"""`homeport standby`: an instance out of traffic and back."""

from pathlib import Path

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.client import Client
from homeport.cli.commands import Commands
from homeport.cli.scale import settle
from homeport.console.request import StandbyRequest
from homeport.model.fleet import State

SETTLE_SECONDS, LOOK_SECONDS = 600.0, 0.5
COMING = (State.STANDBY.value, State.PENDING.value, State.PENDING_WAIT.value)


@click.group(cls=Commands)
def standby() -> None:
    """Take an instance out of traffic for a look, and back."""


@standby.command(
    epilog=options.example(
        "homeport standby enter web-2",
        "homeport standby enter web-2 --decrement",
        see="standby exit, exec, fleet suspend",
    )
)
@click.argument("instance", shell_complete=candidates.live_instances)
@click.option("--decrement", is_flag=True, help="Nobody takes its place: the group wants one less meanwhile.")
@options.common
def enter(environment: str | None, directory: Path, as_json: bool, instance: str, decrement: bool) -> None:
    """Take an instance out of traffic and keep it alive.

    It is drained, and nothing ends it: have a look with `homeport exec`. Another is launched in its place.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    by = place.person(directory)
    request = StandbyRequest(instance=instance, enter=True, decrement=decrement, by=by)
    changed = api.ask_standby(where, request)
    if as_json:
        output.emit({"environment": where, "instance": instance, "standby": True, "changed": changed})
        return
    print(f"{instance} goes on standby" if changed else f"{instance} is on standby")
    print(f"→ homeport exec -e {where} {instance}; homeport standby exit -e {where} {instance}")


@standby.command("exit", epilog=options.example("homeport standby exit web-2", see="standby enter, ps"))
@click.argument("instance", shell_complete=candidates.live_instances)
@options.common
def exit_(environment: str | None, directory: Path, as_json: bool, instance: str) -> None:
    """Bring an instance back into traffic.

    It gets requests again once it is healthy; where it runs what the group doesn't want any more, it ends.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    request = StandbyRequest(instance=instance, enter=False, by=place.person(directory))
    changed = api.ask_standby(where, request)
    if api.inside:
        _settle(api, where, instance, as_json=as_json)
    if as_json:
        output.emit({"environment": where, "instance": instance, "standby": False, "changed": changed})
    else:
        print(f"{instance} comes back from standby")


def _settle(api: Client, where: str, instance: str, *, as_json: bool) -> None:
    """Nobody else ends the one that is too many then."""
    from homeport.system.clock import SystemClock, pause

    clock = SystemClock()
    until = clock.monotonic() + SETTLE_SECONDS
    while True:
        mine = next((each for each in api.instances(where).instances if each.id == instance), None)
        if mine is None or mine.state not in COMING or clock.monotonic() > until:
            break
        pause(LOOK_SECONDS)
    rows = [(app.app, row) for app in api.status(where).apps for row in app.groups]
    wanted = {
        (app, row.name): row.desired or 0 for app, row in rows if mine and (app, row.name) == (mine.app, mine.group)
    }
    with output.Progress(quiet=as_json) as progress:
        progress.goes_on("it comes back all the same", f"homeport ps -e {where}")
        settle(api, where, wanted, progress, SETTLE_SECONDS)
