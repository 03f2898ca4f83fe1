"""The stacks of an environment on AWS, brought up and taken down: shown, confirmed, applied by what applies all stacks.
Called by `up`, `deploy` and `down`.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import output, place
from homeport.errors import Conflict, Failed, Invalid
from homeport.system import text_file
from homeport.system.effect import effect

if TYPE_CHECKING:
    from homeport.cli.code import Code
    from homeport.model.platform import Place, Resolved
    from homeport.model.stack import Stack, StackEvent
    from homeport.model.stack_plan import Plan
    from homeport.stacks.planner import Planner

STORE = "store"
"""The stack that stays when everything else goes."""
BUSY_SECONDS = 1.0
"""Between two looks at what CloudFormation still works on."""


def bring_up(codes: "Sequence[Code]", directory: Path, *, yes: bool, as_json: bool) -> None:
    """All stacks stand as the environment wants them; nothing is asked where they do. Raises `Invalid` where nobody is
    there to confirm it, `Failed` where CloudFormation couldn't."""
    from homeport import wiring
    from homeport.plan import aws_stacks
    from homeport.stacks.shipping import templates

    resolved = [each.wanted.resolved for each in codes]
    where = resolved[0].place
    for each in resolved:
        aws_stacks.check(each)
    wiring.check_region(where)
    wiring.check_account(where)
    wiring.check_image(where)  # each plan looks it up
    files = aws_stacks.project([*resolved, *_others(resolved, directory)], templates())
    planner, plan = _planned(partial(_planner, files), as_json=as_json)
    if not plan.changes:
        return
    wiring.check_premises(where, fresh=any(each.id == STORE and each.action == "create" for each in plan.stacks))
    if not as_json:
        _show(plan, where, resolved)
    for line in _by_hand(planner, plan):
        output.line(line, error=True)
    _confirm(f"Apply this to {where.id}?", f"homeport up -e {where.name} --yes", yes=yes)
    _apply(planner, plan, directory, as_json=as_json)


def take_down(directory: Path, *, as_json: bool) -> tuple[str, ...]:
    """Names of the environment's stacks that went: all but the store's, whoever made them. Empty: there were none."""
    from homeport import wiring
    from homeport.plan import aws_stacks
    from homeport.plan.stack.setting import OWNER_TAG, STACK_TAG
    from homeport.stacks.shipping import templates
    from homeport.stacks.standing import orphan

    where = wiring.remote()
    assert where is not None
    wiring.check_account(where)
    files, target = aws_stacks.store_project(where, templates()), wiring.aws_target(where)
    there = {
        each.tags.get(STACK_TAG, each.name): each
        for each in wiring.cloud().cloudformation(target).list()
        if each.tags.get(OWNER_TAG) == aws_stacks.owner(where)
        and not each.parent
        and each.name != aws_stacks.store_name(where)
    }
    for ids in aws_stacks.removal(there):
        gone = [orphan(there[each], target) for each in ids]
        planner, plan = _planned(partial(_planner, files, gone), as_json=as_json, ids=ids)
        _apply(planner, plan, directory, as_json=as_json)
    return tuple(each.name for each in there.values())


def _others(resolved: "Sequence[Resolved]", directory: Path) -> "list[Resolved]":
    """What runs of the platform's other apps: their pools and routes stay as they are."""
    from homeport import wiring

    platform = place.platform_here(directory)
    names = [each.name for each in platform.apps] if platform is not None else []
    missing = [each for each in names if each not in {one.app for one in resolved}]
    if not missing:
        return []
    catalogue = wiring.catalogue(wiring.store(wiring.home()))
    found = [catalogue.current(each, resolved[0].place.name) for each in missing]
    return [each.resolved for each in found if each is not None]


def _planner(files: Mapping[str, str], others: "Sequence[Stack]" = ()) -> "Planner":
    """Of the project as it is written into the environment's home. `others`: stacks that it doesn't have."""
    from homeport import wiring

    root = wiring.home().root / "stacks"
    known = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
    for path in known:
        if str(path.relative_to(root)) not in files:
            _remove(path)
    for name, text in files.items():
        _write(root / name, text)
    planner = wiring.stack_planner(wiring.stack_project(root))
    planner.add(others)
    return planner


@effect("environment_stacks.write")
def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text_file.replace(path, text)


@effect("environment_stacks.remove")
def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _planned(make: "Callable[[], Planner]", *, as_json: bool, ids: Sequence[str] = ()) -> "tuple[Planner, Plan]":
    """Of what stands still: what an earlier command began in CloudFormation is waited for. `ids`: of these stacks; else
    of all. Raises `Conflict` for a stack that can't be changed, or is somebody else's."""
    from homeport.system.clock import pause

    with output.Progress(quiet=as_json) as progress:
        while True:
            planner = make()
            plan = planner.plan(tuple(ids or planner.project.entries), progress.waiting)
            seen = {id: each.deployed for id, each in planner.seen.items() if each.deployed is not None}
            busy = [id for id, each in seen.items() if each.status.busy]
            if not busy:
                break
            progress.waiting(f"CloudFormation is still at work on {', '.join(busy)}: what was begun before goes on")
            pause(BUSY_SECONDS)
    _check_owned(planner)
    _refuse(plan)
    return planner, plan


def _check_owned(planner: "Planner") -> None:
    """Raises `Conflict` for a stack that has the name of one of ours, and was made by somebody else."""
    from homeport.model.stack import Status
    from homeport.plan.stack.decide import NOT_THERE
    from homeport.plan.stack.setting import OWNER_TAG

    for id, each in planner.seen.items():
        deployed, stack = each.deployed, planner.stacks[id]
        if deployed is None or deployed.status in (*NOT_THERE, Status.REVIEW_IN_PROGRESS) or not stack.project:
            continue
        if deployed.tags.get(OWNER_TAG) != stack.project:
            raise Conflict(
                f"there is a stack {deployed.name} already, and it isn't this platform's: its tag {OWNER_TAG} says "
                f"{deployed.tags.get(OWNER_TAG) or 'nothing'}, expected {stack.project}",
                hint="another name for the platform or the environment in homeport.toml",
            )


def _by_hand(planner: "Planner", plan: "Plan") -> Iterator[str]:
    """A line for each stack that would be changed and isn't as Homeport left it."""
    from homeport import wiring
    from homeport.plan.stack import template
    from homeport.plan.stack.parameter import MASK
    from homeport.stacks.apply import Outcome

    # what becomes of the store's own stack isn't kept: it holds the history
    changed = [each for each in plan.stacks if each.changes and each.id != STORE]
    for each in changed:
        seen = planner.seen[each.id]
        if seen.deployed is None:
            continue
        last = wiring.stack_history().last(each.target, each.name, 1)
        if not last or last[0].ended is None or last[0].ended.outcome != Outcome.DONE or not last[0].begun.template:
            continue
        begun, values = last[0].begun, seen.deployed.parameters
        other = [name for name, value in begun.parameters.items() if value not in (MASK, values.get(name, value))]
        if template.parse(begun.template, each.name).body != seen.template:
            other.append("its template")
        if other:
            since = f"{last[0].ended.at:%Y-%m-%d %H:%M} UTC"
            yield f"note: {each.id} was changed by hand since {since} ({', '.join(other)}): that is taken back"


def _refuse(plan: "Plan") -> None:
    from homeport.stacks.apply import Wishes, refuse

    if plan.problems:
        first = plan.problems[0]
        details = tuple(f"{each.id}: {each.message}" for each in plan.problems)
        raise Conflict(f"the stack {first.id} can't be planned: {first.message}", hint=first.hint, details=details)
    refuse(plan, Wishes())


def _show(plan: "Plan", where: "Place", resolved: "Sequence[Resolved]") -> None:
    from homeport.cli.stack_words import lines
    from homeport.plan.aws_stacks import of

    for line in lines(plan):
        print(line)
    kinds, price = of(where).instance_type, of(where).price_per_hour
    for app in resolved:
        for group in app.groups:
            bounds = group.instances
            costs = ""
            if price is not None:
                desired, least, most = (f"{price * each:.4g}" for each in (bounds.desired, bounds.min, bounds.max))
                costs = f"; an hour costs {desired}, {least} to {most}"
            print(f"{app.app}/{group.name}: {bounds.desired} × {kinds}, {bounds.min} to {bounds.max}{costs}")
    known = "what it and traffic cost" if price is not None else "what these cost"
    print(f"and one load balancer; {known} by the hour: https://aws.amazon.com/ec2/pricing/on-demand/")


def _confirm(question: str, command: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Invalid("the environment's stacks change, and nobody is here to confirm it", hint=command)
    click.confirm(question, abort=True)


def _apply(planner: "Planner", plan: "Plan", directory: Path, *, as_json: bool) -> None:
    """The store first, by itself: what becomes of the others is written into it."""
    who = place.person(directory)
    with output.Progress(quiet=as_json) as progress:
        if any(each.id == STORE and each.changes for each in plan.stacks):
            _carry_out(planner, plan, progress, (STORE,), who=who, kept=False)
        rest = [each.id for each in plan.stacks if each.id != STORE]
        _carry_out(planner, plan, progress, rest, who=who, kept=True)


def _carry_out(
    planner: "Planner", plan: "Plan", progress: output.Progress, ids: Collection[str], *, who: str, kept: bool
) -> None:
    from msgspec.structs import replace

    from homeport import wiring
    from homeport.cli.stack_words import event_line
    from homeport.stacks.apply import BAD, Wishes

    def say(id: str, what: "StackEvent | str") -> None:
        if isinstance(what, str):
            progress.say(f"{id}  {what}")
        elif output.live():
            progress.waiting(event_line(id, what))

    chosen = replace(plan, stacks=tuple(each for each in plan.stacks if each.id in ids))
    results = wiring.aws_applier(planner, say, who=who, kept=kept).apply(chosen, Wishes(surprises=True))
    bad = [each for each in results if each.outcome in BAD]
    if bad:
        first = next((each.error for each in bad if each.error is not None), None)
        lines = tuple(f"{each.id}: {each.reason or each.outcome}" for each in bad)
        if first is not None and len(bad) == 1:
            raise first
        raise Failed("not all stacks could be applied", details=lines, hint="homeport up goes on where this stopped")
