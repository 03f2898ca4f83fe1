"""`homeport stack apply`: a plan is shown, confirmed and carried out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output
from homeport.cli.stack import directory, exit_code, planner, show_problems, words
from homeport.cli.stack_plan import hidden, make, pin, to, with_needs
from homeport.errors import Failed, HomeportError, Invalid

if TYPE_CHECKING:
    from homeport.model.stack import StackEvent
    from homeport.model.stack_plan import Plan
    from homeport.stacks.apply import Applier, Result, Wishes
    from homeport.stacks.planner import Planner


why = click.option("--why", default="", metavar="TEXT", help="Why this is done; kept in the history.")


@click.command(
    epilog=options.example(
        "homeport stack apply production/web", "homeport stack apply plan.json", "homeport stack apply --yes --json"
    )
)
@words
@with_needs
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option(
    "--allow-replace",
    "allow",
    multiple=True,
    metavar="STACK/RESOURCE",
    help="This resource holds data and may be replaced or deleted all the same. Repeatable.",
)
@click.option("--at-once", type=click.IntRange(1, 50), default=4, help="Stacks side by side. Default: 4.")
@why
@hidden
@to
@directory
@options.as_json
def apply(
    stacks: tuple[str, ...],
    with_needs: bool,
    yes: bool,
    allow: tuple[str, ...],
    at_once: int,
    why: str,
    hidden: bool,
    to: int | None,
    directory: Path,
    as_json: bool,
) -> int:
    """Bring stacks to what the project says.

    The plan is shown and confirmed, then each stack gets a change set, which is compared with the plan before it is
    executed. A plan file (stack plan --out) is applied exactly as it was reviewed, or not at all.
    """
    from homeport.stacks.apply import Wishes

    found = planner(directory)
    found.hidden = hidden
    pin(found, stacks, to)
    file = _plan_file(stacks)
    wishes = Wishes(allow=frozenset(allow), surprises=yes and file is None, at_once=at_once)
    with output.Progress(quiet=as_json) as progress:
        plan = _reviewed(found, file) if file else make(found, stacks, with_needs=with_needs, progress=progress)
    return finish(found, plan, wishes, yes=yes or file is not None, why=why, as_json=as_json)


def finish(
    found: "Planner", plan: "Plan", wishes: "Wishes", *, yes: bool, why: str, as_json: bool, verb: str = "Apply"
) -> int:
    """The plan is shown, confirmed and carried out; the exit code. Raises `Conflict` for one that is refused."""
    from homeport.stacks.apply import refuse

    if plan.problems:
        return _cannot(plan, as_json=as_json)
    if not as_json:
        _show(plan)
    refuse(plan, wishes)
    if plan.changes:
        _confirm(plan, yes=yes, verb=verb, as_json=as_json)
    with output.Progress(quiet=as_json) as progress:
        results = _carry_out(found, plan, wishes, why, progress)
    if as_json:
        output.emit({"plan": plan, "results": [_body(each) for each in results]})
        return _code(results)
    return _end(results)


def _plan_file(words: tuple[str, ...]) -> Path | None:
    if len(words) == 1 and words[0].endswith(".json"):
        return Path(words[0])
    return None


def _reviewed(found: "Planner", file: Path) -> "Plan":
    """The plan of the file, made anew and found to be the same."""
    from homeport.stacks import saved

    kept = saved.read(file)
    reviewed, found.hidden = kept.plan, kept.hidden
    now = found.plan(tuple(each for each in found.project.entries if each in {one.id for one in reviewed.stacks}))
    saved.check_same(reviewed, now)
    return now


def _cannot(plan: "Plan", *, as_json: bool) -> int:
    if as_json:
        output.emit({"plan": plan, "results": []})
        return exit_code(plan.problems)
    code = show_problems(plan.problems)
    print("nothing was applied", file=sys.stderr)
    return code


def _show(plan: "Plan") -> None:
    from homeport.cli.stack_words import lines

    for line in lines(plan):
        print(line)


def _confirm(plan: "Plan", *, yes: bool, verb: str, as_json: bool) -> None:
    from homeport.cli.stack_words import counted, summary

    if yes:
        return
    if as_json or not sys.stdin.isatty():
        what = f"apply changes {counted(plan)} ({summary(plan)}), and nobody is here to confirm it"
        raise Invalid(what, hint="homeport stack apply --yes …")
    click.confirm(f"{verb} this to {counted(plan)}?" if verb == "Apply" else f"{verb} {counted(plan)}?", abort=True)


def _carry_out(
    found: "Planner", plan: "Plan", wishes: "Wishes", why: str, progress: output.Progress
) -> "tuple[Result, ...]":
    from homeport.cli.place import person
    from homeport.cli.stack_words import event_line
    from homeport.wiring import stacks

    def say(id: str, what: "StackEvent | str") -> None:
        progress.say(f"{id}  {what}" if isinstance(what, str) else event_line(id, what))

    applier = stacks.applier(found, say, who=person(found.project.root), why=why)
    try:
        return applier.apply(plan, wishes)
    except KeyboardInterrupt:
        progress.clear()
        _interrupted(applier)
        raise


def _interrupted(applier: "Applier") -> None:
    """What was begun goes on in CloudFormation, unless the person wants it back."""
    running = sorted(applier.running)
    if not running:
        return
    print(f"\nthese go on in CloudFormation: {', '.join(running)}", file=sys.stderr)
    if sys.stdin.isatty() and click.confirm("Cancel the updates among them?", default=False, err=True):
        cancelled = applier.cancel()
        print(f"cancelled: {', '.join(cancelled) or 'none could be'}", file=sys.stderr)


def _body(result: "Result") -> dict[str, object]:
    return {"id": result.id, "outcome": result.outcome, "reason": result.reason}


def _code(results: "tuple[Result, ...]") -> int:
    return next((_error(each).exit_code for each in results if each.error is not None), 0)


def _error(result: "Result") -> HomeportError:
    return result.error or Failed(result.reason)


def _end(results: "tuple[Result, ...]") -> int:
    """One merged exit code; failures are shown again at the end, where they are looked for."""
    for each in results:
        if each.error is not None:
            output.show_error(each.error, as_json=False)
    skipped = [each.id for each in results if each.outcome == "skipped"]
    if skipped:
        print(f"not begun: {', '.join(skipped)}", file=sys.stderr)
    done = sum(each.outcome == "done" for each in results)
    print(f"{output.plural(done, 'stack')} changed" if results else "nothing to do")
    return _code(results)
