"""`homeport stack status`, `outputs`, `resources`, `events` and `drift`: what stands in the clouds."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, planner, show_problems, stack_argument, words
from homeport.cli.stack import exit_code as code_of
from homeport.errors import CHANGES_EXIT_CODE, Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from homeport.model.stack import Deployed, Drift, Stack
    from homeport.ports.cloudformation import CloudFormation
    from homeport.stacks.planner import Planner


@click.command(epilog=options.example("homeport stack status", "homeport stack status production --exit-code --json"))
@words
@options.exit_code
@directory
@options.as_json
def status(stacks: tuple[str, ...], exit_code: bool, directory: Path, as_json: bool) -> int:
    """Show how stacks stand, and whether they are as the project says."""
    from homeport.cli.stack_plan import make

    found = planner(directory)
    with output.Progress(quiet=as_json) as progress:
        plan = make(found, stacks, progress=progress)
    rows = [(each, found.seen[each.id].deployed) for each in plan.stacks]
    if as_json:
        bodies = [
            {"id": each.id, "name": each.name, "differs": each.changes, "action": each.action, "deployed": deployed}
            for each, deployed in rows
        ]
        output.emit({"stacks": bodies, "problems": plan.problems})
        code = code_of(plan.problems)
    else:
        output.table(
            ("STACK", "STATUS", "CHANGED", "DIFFERS"),
            [
                (
                    each.id,
                    deployed.status if deployed else "not there",
                    output.ago(deployed.changed_at) if deployed else "",
                    f"yes: {each.action}" if each.changes else f"{each.action}" if each.action == "blocked" else "no",
                )
                for each, deployed in rows
            ],
        )
        code = show_problems(plan.problems)
    return code or (CHANGES_EXIT_CODE if exit_code and plan.changes else 0)


@click.command(
    epilog=options.example("homeport stack outputs production/network", "homeport stack outputs web --name Url")
)
@words
@click.option("--name", metavar="OUTPUT", help="Print this output's value and nothing else.")
@directory
@options.as_json
def outputs(stacks: tuple[str, ...], name: str | None, directory: Path, as_json: bool) -> None:
    """Show outputs of stacks as they are deployed."""
    from homeport.plan.mistake import instead

    values = {stack.id: deployed.outputs for stack, _, deployed in _standing(planner(directory), stacks)}
    if name is not None:
        if len(values) != 1:
            raise Invalid(
                f"--name goes with one stack; found {len(values)}", hint="homeport stack outputs web --name Url"
            )
        ((id, own),) = values.items()
        if name not in own:
            raise NotFound(f"{id} has no output {name}{instead(name, own)}")
        print(own[name])
    elif as_json:
        output.emit(values)
    else:
        rows = [(id, key, value) for id, own in values.items() for key, value in sorted(own.items())]
        output.table(("STACK", "OUTPUT", "VALUE"), rows)


@click.command(epilog=options.example("homeport stack resources production/web"))
@words
@directory
@options.as_json
def resources(stacks: tuple[str, ...], directory: Path, as_json: bool) -> None:
    """Show resources of stacks, those of nested stacks too."""
    from homeport.stacks import standing

    rows = [
        (stack.id, path, each)
        for stack, formation, deployed in _standing(planner(directory), stacks)
        for path, each in standing.resources(formation, deployed.id)
    ]
    if as_json:
        output.emit([{"stack": id, "path": path, "resource": each} for id, path, each in rows])
        return
    output.table(
        ("STACK", "RESOURCE", "TYPE", "STATUS", "ID"),
        [(id, path, each.type, each.status, each.physical_id) for id, path, each in rows],
        spare=("TYPE",),
    )


@click.command(epilog=options.example("homeport stack events production/web", "homeport stack events web --follow"))
@stack_argument
@click.option("-n", "--last", type=click.IntRange(1), default=25, help="How many to begin with. Default: 25.")
@click.option("-f", "--follow", is_flag=True, help="Go on until nothing happens any more, or until Ctrl-C.")
@directory
@options.as_json
def events(stack: str, last: int, follow: bool, directory: Path, as_json: bool) -> None:
    """Show what happened to a stack and to those nested in it, the newest last."""
    from homeport.cli.stack_words import event_line
    from homeport.stacks.operation import Events
    from homeport.system.clock import pause

    standing = list(_standing(planner(directory), (stack,)))
    if len(standing) != 1:
        raise Invalid(f"{stack!r} means {len(standing)} stacks; expected one")
    ((found, formation, deployed),) = standing
    reader = Events(formation, deployed.id)
    shown = reader.new()[-last:]
    while True:
        for each in shown:
            if as_json:
                output.emit_line(each)
            else:
                print(output.printable(f"{output.timestamp(each.at)}  {event_line(found.id, each)}"), flush=True)
        now = formation.describe(deployed.id)
        if not follow or now is None or (not now.status.busy and not shown):
            return
        pause(1.0 if not shown else 0.3)
        shown = reader.new()


@click.command(epilog=options.example("homeport stack drift production", "homeport stack drift web --exit-code --json"))
@words
@options.exit_code
@directory
@options.as_json
def drift(stacks: tuple[str, ...], exit_code: bool, directory: Path, as_json: bool) -> int:
    """Show what was changed by hand: resources that aren't as the deployed template says."""
    from homeport.cli.stack_words import drift_lines
    from homeport.stacks import standing
    from homeport.system.clock import pause

    found: dict[str, tuple[Drift, ...]] = {}
    left_out: dict[str, str] = {}
    with output.Progress(quiet=as_json) as progress:
        for stack, formation, deployed in _standing(planner(directory), stacks):
            progress.waiting(f"looking for drift of {stack.id}")
            try:
                found[stack.id] = standing.drift(formation, deployed.name, pause)
            except Conflict as error:
                left_out[stack.id] = error.message
    if as_json:
        output.emit({"drift": found, "left_out": left_out})
    else:
        for id, drifts in found.items():
            print(f"{id}  {output.plural(len(drifts), 'resource')} changed by hand" if drifts else f"{id}  as deployed")
            for line in (line for each in drifts for line in drift_lines(each)):
                print(output.printable(f"    {line}"))
        for id, reason in left_out.items():
            print(output.printable(f"{id}  {reason}"))
    return CHANGES_EXIT_CODE if exit_code and any(found.values()) else 0


def _standing(found: "Planner", words: Iterable[str]) -> "Iterator[tuple[Stack, CloudFormation, Deployed]]":
    """The stacks that are meant, as far as they stand. Raises `NotFound` where one that is named doesn't."""
    named = tuple(words)
    for id in found.project.select(named):
        stack = found.project.stack(id)
        found.guard(stack.target)
        formation = found.cloud.cloudformation(stack.target)
        deployed = None
        with suppress(NotFound):
            deployed = formation.describe(stack.name)
        if deployed is not None:
            yield stack, formation, deployed
        elif id in named:
            raise NotFound(f"{id} isn't there yet", hint=f"homeport stack apply {id}")
