"""`homeport simulate`: what would happen, under a clock that jumps. Nothing real is touched."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output, place
from homeport.errors import Failed, Invalid, NotFound

if TYPE_CHECKING:
    from homeport.model.platform import Resolved
    from homeport.simulation.run import Result

LEFT_OUT = ("deployment_step",)


@click.group()
def simulate() -> None:
    """Rehearse in simulated time, with the real decisions. Nothing real is touched."""


@simulate.command(
    epilog=options.example(
        'homeport simulate fleet --scenario "1m fail zone b; 20m restore zone b"',
        "homeport simulate fleet --seed 7 --hours 24",
        codes={6: "something didn't hold that must"},
        see="deploy, scale, status",
    )
)
@options.app
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of random faults; the same again gives the same.")
@click.option("--hours", type=click.FloatRange(min=0.1, max=24 * 366), help="Simulated. Default: 1, or a scenario's.")
@click.option(
    "--scenario",
    metavar="FILE|TEXT",
    help='What happens instead, such as "5m deploy; 6m fail zone b": see docs/reference/simulate.md.',
)
@options.common
def fleet(
    environment: str | None,
    directory: Path,
    as_json: bool,
    app: str | None,
    seed: int,
    hours: float | None,
    scenario: str | None,
) -> int:
    """Play faults against the groups of the platform file here.

    Prints a timeline, and the worst capacity of each group.
    """
    from homeport.simulation import run
    from homeport.simulation.fault import parse

    # what the control loop complains of is part of the game
    logging.getLogger("homeport.control").disabled = True
    formation = _formation(directory, environment, app)
    groups = [each.name for each in formation.groups]
    if scenario is None:
        result = run.random_faults(formation, seed=seed, hours=hours or 1.0)
    else:
        faults = parse(_text(scenario), groups)
        last = max((each.at_seconds for each in faults), default=0.0)
        result = run.scenario(formation, faults, hours=hours or last / 3600 + 0.5)
    if as_json:
        output.emit({"environment": formation.place.id, "app": formation.app, "seed": seed, "result": result})
    else:
        _show(result)
    if result.problems:
        again = (
            "the same command"
            if scenario is not None
            else f"homeport simulate fleet --seed {seed} --hours {hours or 1.0:g}"
        )
        raise Failed("something didn't hold that must", details=result.problems, hint=f"it can be had again: {again}")
    return 0


@simulate.command(
    name="aws",
    epilog=options.example(
        "homeport simulate aws",
        "homeport simulate aws -- homeport up -e production --yes",
        "homeport simulate aws --serve",
        codes={6: "a step of the rehearsal went wrong, or requests failed"},
        see="up, deploy, down",
    ),
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--serve", is_flag=True, help="Print how to reach it, and stay until Ctrl-C.")
@click.option(
    "--pace",
    type=click.FloatRange(min=0.1, max=100),
    default=1.0,
    show_default=True,
    help="AWS's own waits, so much faster.",
)
@options.environment
@options.directory
@options.as_json
def aws_(
    command: tuple[str, ...], serve: bool, pace: float, environment: str | None, directory: Path, as_json: bool
) -> int:
    """Bring an environment up and down in a simulated AWS.

    Its servers run on this machine, from their real user data; no account is needed. With a COMMAND, that runs there.
    """
    from homeport.cli import simulate_aws

    if serve and command:
        raise Invalid("--serve runs no command", hint="homeport simulate aws -- " + " ".join(command))
    return simulate_aws.run(command, directory, environment, serve=serve, pace=pace, as_json=as_json)


def _formation(directory: Path, environment: str | None, app: str | None) -> "Resolved":
    """What the platform file and the Procfile here come to. Raises `NotFound`, `Invalid`."""
    from msgspec.structs import replace

    from homeport.plan import platform, procfile
    from homeport.plan.platform_name import environment_name

    path = place.find_file(directory)
    described = place.platform_here(directory)
    if path is None or described is None:
        raise NotFound(f"there is no {place.FILE} here", hint="homeport init")
    name = environment_name(described, environment.rpartition("/")[2] if environment else None)
    chosen = place.app_name(directory, f"{described.name}/{name}", app)
    entry = next(each for each in described.apps if each.name == chosen)
    declared = path.parent / entry.source / "Procfile"
    if entry.remote or not declared.is_file():
        raise Invalid(f"{chosen} has no Procfile at {place.shown(declared)}", hint="write one; or choose an app: --app")
    found = platform.resolve(described, environment=name, app=chosen, procfile=procfile.parse(place.read(declared)))
    # the release task would only take time
    return replace(found, release_task=None)


def _text(scenario: str) -> str:
    """Of the file of that name, else itself."""
    if len(scenario.split()) == 1:
        return place.read(Path(scenario))
    return scenario


def _show(result: "Result") -> None:
    for line in result.lines:
        if line.kind in LEFT_OUT:
            continue
        mark = "*" if line.kind in ("fault", "crash") else " "
        print(f"{_moment(line.at_seconds)} {mark} {line.kind.replace('_', ' '):<20} {output.printable(line.words)}")
    print()
    print(
        f"{result.seconds / 3600:.1f} simulated hours, {output.plural(result.faults, 'fault')}, "
        f"the control plane died {output.plural(result.crashes, 'time')}, {output.plural(result.actions, 'action')}"
    )
    for each in result.worst:
        print(f"{each.group}: at worst {each.serving} of {each.wanted} served, at {_moment(each.at_seconds)}")


def _moment(seconds: float) -> str:
    """With tenths."""
    whole, tenth = divmod(round(seconds * 10), 10)
    return f"{timedelta(seconds=whole)}.{tenth}"
