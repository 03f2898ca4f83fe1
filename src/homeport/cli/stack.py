"""`homeport stack`: infrastructure as code. Its commands lie in `stack_…`, imported when they are asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates
from homeport.cli.commands import LazyCommands
from homeport.errors import BY_KIND, HomeportError

if TYPE_CHECKING:
    from homeport.model.stack_plan import Problem
    from homeport.stacks.planner import Planner

COMMANDS = {
    "plan": "stack_plan:plan",
    "apply": "stack_apply:apply",
    "list": "stack_read:list_",
    "tree": "stack_read:tree",
    "why": "stack_read:why",
    "compile": "stack_compile:compile_",
    "check": "stack_check:check",
    "status": "stack_deployed:status",
    "outputs": "stack_deployed:outputs",
    "resources": "stack_deployed:resources",
    "events": "stack_deployed:events",
    "drift": "stack_deployed:drift",
    "history": "stack_history:history",
    "show": "stack_history:show",
    "delete": "stack_change:delete",
    "prune": "stack_change:prune",
    "import": "stack_change:import_",
    "unlock": "stack_change:unlock",
    "twin": "stack_change:twin",
    "init": "stack_change:init",
}
"""Name → module of this package, and the command in it."""

directory = click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The project; the directory stacks/ is looked for from there upwards. Default: the current one.",
)
words = click.argument("stacks", nargs=-1, metavar="[STACK]...", shell_complete=candidates.stacks)
stack_argument = click.argument("stack", shell_complete=candidates.stacks)


class Lazy(LazyCommands):
    where = COMMANDS


@click.group(cls=Lazy)
def stack() -> None:
    """Stacks: infrastructure as code on CloudFormation.

    A STACK is a path below stacks/, such as production/web; a directory means all that is in it.
    """


def planner(directory: Path) -> "Planner":
    """For the project of this directory. Raises `NotFound`."""
    from homeport.wiring import stacks

    return stacks.planner(stacks.project(directory))


def show_problems(problems: "tuple[Problem, ...]") -> int:
    """The exit code: of the first problem; 0: there is none. Each is shown on standard error."""
    from homeport.cli.output import show_error

    for each in problems:
        show_error(BY_KIND[each.kind](_named(each), hint=each.hint, details=each.details), as_json=False)
    return exit_code(problems)


def exit_code(problems: "tuple[Problem, ...]") -> int:
    return BY_KIND[problems[0].kind].exit_code if problems else 0


def _named(problem: "Problem") -> str:
    return problem.message if problem.id in problem.message else f"{problem.id}: {problem.message}"


def problem_of(id: str, error: HomeportError) -> "Problem":
    from homeport.model.stack_plan import Problem

    return Problem(id=id, kind=error.kind, message=error.message, hint=error.hint, details=error.details)
