"""`homeport stack history` and `show`: what was done to a stack, and back to it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, planner, stack_argument
from homeport.errors import Invalid

if TYPE_CHECKING:
    from homeport.model.stack import Stack
    from homeport.model.stack_history import Operated


@click.command(
    epilog=options.example("homeport stack history production/web", "homeport stack history web -n 50 --json")
)
@stack_argument
@click.option("-n", "--last", type=click.IntRange(1), default=20, help="How many. Default: 20.")
@directory
@options.as_json
def history(stack: str, last: int, directory: Path, as_json: bool) -> None:
    """Show what was done to a stack: who, when, why, and how it ended."""
    from homeport.wiring import stacks

    found = _one(directory, stack)
    operations = stacks.history().last(found.target, found.name, last)
    if as_json:
        output.emit(operations)
        return
    output.table(
        ("N", "WHEN", "WHO", "WHAT", "RESULT", "WHY"),
        [
            (
                each.begun.number,
                output.ago(each.begun.at),
                each.begun.who,
                each.begun.plan.action,
                _result(each),
                each.begun.why,
            )
            for each in operations
        ],
        spare=("WHO",),
    )


@click.command(
    epilog=options.example("homeport stack show production/web 7", "homeport stack apply production/web --to 7")
)
@stack_argument
@click.argument("number", type=click.IntRange(1))
@click.option("--template", is_flag=True, help="Print the template as it was sent, and nothing else.")
@directory
@options.as_json
def show(stack: str, number: int, template: bool, directory: Path, as_json: bool) -> None:
    """Show one operation of a stack's history: plan, parameters and template as they were."""
    from homeport.cli.stack_words import lines
    from homeport.model.stack_plan import Plan
    from homeport.wiring import stacks

    found = _one(directory, stack)
    operation = stacks.history().get(found.target, found.name, number)
    begun = operation.begun
    if template:
        print(begun.template, end="" if begun.template.endswith("\n") else "\n")
        return
    if as_json:
        output.emit(operation)
        return
    print(f"{number}  {output.timestamp(begun.at)}  {begun.who}  {_result(operation)}")
    if begun.why:
        print(output.printable(f"why: {begun.why}"))
    for line in lines(Plan(stacks=(begun.plan,))):
        print(line)
    output.table(("PARAMETER", "VALUE"), sorted(begun.parameters.items()))


def _result(operation: "Operated") -> str:
    if operation.ended is None:
        return "begun"
    reason = operation.ended.reason
    return f"{operation.ended.outcome}: {reason}" if reason else operation.ended.outcome


def _one(directory: Path, word: str) -> "Stack":
    project = planner(directory).project
    ids = project.select((word,))
    if len(ids) != 1:
        raise Invalid(f"{word!r} means {len(ids)} stacks; expected one", hint=f"homeport stack history {ids[0]}")
    return project.stack(ids[0])
