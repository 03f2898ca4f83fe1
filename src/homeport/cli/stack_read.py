"""`homeport stack list`, `tree` and `why`: what a project says, without asking any cloud."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, exit_code, planner, problem_of, show_problems, stack_argument, words
from homeport.errors import Invalid, NotFound

if TYPE_CHECKING:
    from homeport.model.located import Located


@click.command("list", epilog=options.example("homeport stack list", "homeport stack list production --json"))
@words
@directory
@options.as_json
def list_(stacks: tuple[str, ...], directory: Path, as_json: bool) -> int:
    """List stacks with where they stand."""
    found = planner(directory)
    ids = found.project.select(stacks)
    loaded = found.project.load(ids)
    problems = tuple(problem_of(id, error) for id, error in loaded.problems.items())
    if as_json:
        rows = [
            {"id": id, "name": each.name, "account": each.target.account, "region": each.target.region,
             "environment": each.environment, "template": each.template}
            for id, each in loaded.stacks.items()
        ]  # fmt: skip
        output.emit({"stacks": rows, "problems": problems})
        return exit_code(problems)
    output.table(
        ("STACK", "NAME", "ACCOUNT", "REGION", "TEMPLATE"),
        [(id, each.name, each.target.account, each.target.region, each.template) for id, each in loaded.stacks.items()],
        spare=("TEMPLATE", "NAME"),
    )
    return show_problems(problems)


@click.command(epilog=options.example("homeport stack tree", "homeport stack tree production/web --json"))
@words
@directory
@options.as_json
def tree(stacks: tuple[str, ...], directory: Path, as_json: bool) -> int:
    """Show in which order stacks are applied, and what each needs."""
    from homeport.plan.stack import graph

    found = planner(directory)
    ids = found.project.select(stacks)
    found.load(ids)
    if stacks:
        while missing := [need for needs in found.needs.values() for need in needs if _unknown(found, need)]:
            found.load(dict.fromkeys(missing))
    levels = graph.levels(found.needs)
    readers = graph.reverse(found.needs)
    problems = tuple(problem_of(id, error) for id, error in found.problems.items())
    if as_json:
        rows = [
            {"id": id, "level": number, "needs": found.needs[id], "needed_by": readers[id]}
            for number, level in enumerate(levels)
            for id in level
        ]
        output.emit({"stacks": rows, "problems": problems})
        return exit_code(problems)
    for number, level in enumerate(levels):
        print(f"{number + 1}.")
        for id in level:
            print(f"  {id}" + (f"  ← {', '.join(found.needs[id])}" if found.needs[id] else ""))
    return show_problems(problems)


def _unknown(found: Any, id: str) -> bool:
    return id not in found.needs and id not in found.problems


@click.command(epilog=options.example("homeport stack why production/web", "homeport stack why production/web Image"))
@stack_argument
@click.argument("parameter", required=False)
@directory
@options.as_json
def why(stack: str, parameter: str | None, directory: Path, as_json: bool) -> None:
    """Show where each parameter of a stack comes from, and what it overrode."""
    from homeport.plan.mistake import instead

    project = planner(directory).project
    ids = project.select((stack,))
    if len(ids) != 1:
        raise Invalid(f"{stack!r} means {len(ids)} stacks; expected one", hint=f"homeport stack why {ids[0]}")
    values = project.stack(ids[0]).parameters
    if parameter is not None:
        if parameter not in values:
            raise NotFound(f"{ids[0]} gives no parameter {parameter}{instead(parameter, values)}")
        values = {parameter: values[parameter]}
    if as_json:
        rows = [
            {"parameter": name, **_origin(node), "over": [*map(_origin, node.over)]} for name, node in values.items()
        ]
        output.emit({"stack": ids[0], "parameters": rows})
        return
    output.table(
        ("PARAMETER", "VALUE", "FROM", "OVER"),
        [
            (name, _written(node), node.at, "; ".join(f"{_written(each)} ({each.at})" for each in node.over))
            for name, node in values.items()
        ],
    )


def _origin(node: "Located") -> dict[str, str]:
    return {"value": _written(node), "from": str(node.at)}


def _written(node: "Located") -> str:
    """A value as one would type it on one line."""
    from homeport.model.located import Tagged

    match node.value:
        case Tagged(tag=tag, content=content):
            return f"!{tag} {_written(content)}"
        case dict() as entries:
            return "{" + ", ".join(f"{key}: {_written(each)}" for key, each in entries.items()) + "}"
        case list() as items:
            return "[" + ", ".join(_written(each) for each in items) + "]"
    return node.text
