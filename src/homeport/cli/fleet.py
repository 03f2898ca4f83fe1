"""`homeport fleet`: what groups do by themselves, suspended and resumed."""

from pathlib import Path

import click

from homeport.cli import candidates, group, options, output, place
from homeport.cli.commands import Commands
from homeport.console.request import ProcessesRequest
from homeport.errors import Invalid
from homeport.model.asked import Suspendable
from homeport.plan.mistake import instead


@click.group(cls=Commands)
def fleet() -> None:
    """What groups do by themselves: suspend it, resume it."""


@fleet.command(
    epilog=options.example(
        "homeport fleet suspend ReplaceUnhealthy web", "homeport fleet suspend Launch", see="fleet resume, status"
    )
)
@click.argument("process", metavar="PROCESS")
@click.argument("groups", nargs=-1, metavar="[GROUP...]", shell_complete=candidates.groups)
@options.common
def suspend(environment: str | None, directory: Path, as_json: bool, process: str, groups: tuple[str, ...]) -> None:
    """Keep groups from doing something by themselves, until it is resumed.

    PROCESS, as AWS calls it: Launch (no instance is made, nothing can be deployed), Terminate (none is ended),
    ReplaceUnhealthy (who is sick or dead is left so), HealthCheck (nobody is taken for sick), AZRebalance (zones may be
    uneven). Without a group: all of them.
    """
    _say(environment, directory, process, groups, as_json=as_json, resume=False)


@fleet.command(
    epilog=options.example(
        "homeport fleet resume ReplaceUnhealthy web", "homeport fleet resume all", see="fleet suspend, status"
    )
)
@click.argument("process", metavar="PROCESS")
@click.argument("groups", nargs=-1, metavar="[GROUP...]", shell_complete=candidates.groups)
@options.common
def resume(environment: str | None, directory: Path, as_json: bool, process: str, groups: tuple[str, ...]) -> None:
    """Have groups do again what was suspended.

    PROCESS as for `homeport fleet suspend`, or "all". Without a group: all of them. Harmless where it wasn't suspended.
    """
    _say(environment, directory, process, groups, as_json=as_json, resume=True)


def _say(
    environment: str | None, directory: Path, process: str, groups: tuple[str, ...], *, as_json: bool, resume: bool
) -> None:
    verb = "resume" if resume else "suspend"
    chosen = _processes(process, resume=resume)
    api = place.client()
    where = place.environment_id(directory, environment, api)
    named = group.chosen(api.status(where), groups, f"homeport fleet {verb} {process} …")
    by = place.person(directory)
    api.ask_processes(where, ProcessesRequest(groups=named, processes=chosen, resume=resume, by=by))
    if as_json:
        known = {(app.app, row.name): row for app in api.status(where).apps for row in app.groups}
        rows = [{"app": app, "group": name, "suspended": known[app, name].suspended} for app, name in named]
        output.emit({"environment": where, "groups": rows})
        return
    names = ", ".join(each.value for each in chosen)
    output.line(f"{names}: {verb}{'d' if resume else 'ed'} in {group.in_words(named)}")
    if not resume:
        output.line(f"→ homeport fleet resume {process}{''.join(f' {each}' for each in groups)}")


def _processes(text: str, *, resume: bool) -> tuple[Suspendable, ...]:
    if resume and text.lower() == "all":
        return tuple(Suspendable)
    plain = text.lower().replace("-", "").replace("_", "")
    found = [each for each in Suspendable if each.value.lower() == plain]
    if not found:
        near = instead(text, [each.value for each in Suspendable])
        raise Invalid(f"no process {text!r}{near}", hint="homeport fleet suspend --help")
    return tuple(found)
