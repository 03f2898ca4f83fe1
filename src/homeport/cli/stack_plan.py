"""`homeport stack plan`: what an apply would do."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, exit_code, planner, show_problems, words
from homeport.errors import CHANGES_EXIT_CODE, Invalid

if TYPE_CHECKING:
    from homeport.model.stack_plan import Plan
    from homeport.stacks.planner import Planner

to = click.option("--to", type=click.IntRange(1), metavar="N", help="Back to what operation N of its history applied.")
hidden = click.option(
    "--hidden",
    is_flag=True,
    help="NoEcho parameters may have changed: CloudFormation, which alone knows, is asked by each apply.",
)
with_needs = click.option("--with-needs", is_flag=True, help="With all that these stacks need, near and far.")


@click.command(
    epilog=options.example("homeport stack plan", "homeport stack plan production --out plan.json --exit-code")
)
@words
@with_needs
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Keep it: stack apply FILE."
)
@click.option("--exit-code", "tell", is_flag=True, help=f"End with {CHANGES_EXIT_CODE} where there are changes.")
@click.option("--drift", is_flag=True, help="Show also what was changed by hand. CloudFormation takes its time.")
@hidden
@to
@directory
@options.as_json
def plan(
    stacks: tuple[str, ...],
    with_needs: bool,
    out: Path | None,
    tell: bool,
    drift: bool,
    hidden: bool,
    to: int | None,
    directory: Path,
    as_json: bool,
) -> int:
    """Show what an apply would do. Nothing is changed.

    Per stack: create, update, replace, delete or nothing; parameters, tags and settings that differ; resources that
    are added, changed, made anew (predicted from the types' schemas) or removed.
    """
    from homeport.cli.stack_words import lines
    from homeport.stacks import saved

    found = planner(directory)
    found.hidden = hidden
    pin(found, stacks, to)
    with output.Progress(quiet=as_json) as progress:
        made = make(found, stacks, with_needs=with_needs, progress=progress)
        if drift:
            made = _with_drift(found, made, progress)
    if out is not None and not made.problems:
        saved.write(made, out, hidden=hidden)
    if as_json:
        output.emit(made)
        code = exit_code(made.problems)
    else:
        for line in lines(made):
            print(line)
        code = show_problems(made.problems)
    return code or (CHANGES_EXIT_CODE if tell and made.changes else 0)


def make(
    found: "Planner", stacks: tuple[str, ...], *, with_needs: bool = False, progress: output.Progress | None = None
) -> "Plan":
    """The plan for what the words mean."""
    from homeport.plan.stack import graph

    ids = found.project.select(stacks)
    if with_needs:
        found.load(ids)
        while more := [need for needs in found.needs.values() for need in needs if _is_new(found, need)]:
            found.load(dict.fromkeys(more))
        wider = graph.below(found.needs, ids)
        ids = tuple(each for each in found.project.entries if each in wider)
    return found.plan(ids, progress.waiting if progress else lambda _: None)


def pin(found: "Planner", words: tuple[str, ...], number: int | None) -> None:
    """Instead of what the project says, what an operation of the history sent. Raises `Invalid`, `NotFound`."""
    if number is None:
        return
    from homeport.wiring import stacks

    ids = found.project.select(words) if words else ()
    if len(ids) != 1:
        raise Invalid(f"--to goes with one stack; found {len(ids)}", hint="homeport stack plan production/web --to 3")
    stack = found.project.stack(ids[0])
    begun = stacks.history().get(stack.target, stack.name, number).begun
    if not begun.template:
        raise Invalid(f"operation {number} of {ids[0]} deleted it: there is nothing to go back to")
    found.pinned[ids[0]] = begun


def _with_drift(found: "Planner", made: "Plan", progress: output.Progress) -> "Plan":
    """The plan with what was changed by hand in stacks that stand."""
    from msgspec.structs import replace

    from homeport.errors import Conflict
    from homeport.stacks.standing import drift
    from homeport.system.clock import pause

    stacks = []
    for each in made.stacks:
        seen = found.seen.get(each.id)
        if seen is not None and seen.deployed is not None:
            progress.waiting(f"looking for drift of {each.id}")
            try:
                found_drift = drift(found.cloud.cloudformation(each.target), each.name, pause)
            except Conflict:
                found_drift = ()
            each = replace(each, drift=found_drift)
        stacks.append(each)
    progress.waiting("")
    return replace(made, stacks=tuple(stacks))


def _is_new(found: "Planner", id: str) -> bool:
    return id not in found.needs and id not in found.problems
