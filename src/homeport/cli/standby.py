"""`homeport standby`: an instance out of traffic and back."""

from pathlib import Path

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.commands import Commands
from homeport.console.request import StandbyRequest


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
    print(f"→ homeport exec {instance}; homeport standby exit {instance}")


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
    if as_json:
        output.emit({"environment": where, "instance": instance, "standby": False, "changed": changed})
    else:
        print(f"{instance} comes back from standby")
