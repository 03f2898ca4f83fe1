"""`homeport breaker`: launches that fail, and what stops them."""

from pathlib import Path

import click

from homeport.cli import candidates, group, options, output, place
from homeport.cli.commands import Commands
from homeport.console.request import BreakerRequest


@click.group(cls=Commands)
def breaker() -> None:
    """What stops a launch loop."""


@breaker.command(
    epilog=options.example("homeport breaker reset", "homeport breaker reset web", see="status, deploy, logs")
)
@click.argument("groups", nargs=-1, metavar="[GROUP...]", shell_complete=candidates.groups)
@options.common
def reset(environment: str | None, directory: Path, as_json: bool, groups: tuple[str, ...]) -> None:
    """Have groups launch again although launches have failed.

    What has failed until now counts no more. `homeport status` shows breakers that aren't closed, and why. Without a
    group: all of them.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    named = group.chosen(api.status(where), groups, "homeport breaker reset …")
    api.reset_breakers(where, BreakerRequest(groups=named, by=place.person(directory)))
    if as_json:
        output.emit({"environment": where, "groups": [{"app": app, "group": name} for app, name in named]})
    else:
        output.line(f"launches of {group.in_words(named)} begin anew")
