"""The stacks of an environment on AWS, brought up and taken down: shown, confirmed, applied by what applies all stacks.
Called by `up`, `deploy` and `down`.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import output, place, remote
from homeport.errors import Conflict, Failed, HomeportError, Invalid
from homeport.system import text_file
from homeport.system.effect import effect

if TYPE_CHECKING:
    from homeport.cli.code import Asked, Code
    from homeport.model.platform import Place, Resolved
    from homeport.model.stack import Stack, StackEvent
    from homeport.model.stack_plan import Plan
    from homeport.stacks.planner import Planner

STORE = "store"
"""The stack that stays when everything else goes."""
NAMES = "names"
"""The stack with the private hosted zone."""
EMPTY = frozenset({f"{NAMES}/Zone"})
"""What may be deleted, though people could keep something there: that it is empty was seen to."""
PRICES = "https://aws.amazon.com/ec2/pricing/on-demand/"
BUSY_SECONDS = 1.0
"""Between two looks at what CloudFormation still works on."""
BEGUN = "what CloudFormation was given goes on, nothing else is begun"
"""After Ctrl-C."""


def bring_up(asked: "Asked", where: "Place", *, yes: bool, as_json: bool) -> None:
    """All stacks stand as the environment wants them; nothing is asked where they do. Raises `Invalid` where nobody is
    there to confirm it, `Failed` where CloudFormation couldn't."""
    from homeport.cli.code import read_code
    from homeport.plan import aws_stacks
    from homeport.stacks.shipping import templates
    from homeport.wiring import aws

    directory = asked.directory
    with output.Progress(quiet=as_json) as progress:
        progress.waiting(_looking(where))
        codes = read_code(asked)
        resolved = [each.wanted.resolved for each in codes]
        where = resolved[0].place
        for each in resolved:
            aws_stacks.check(each)
        aws.check_region(where)
        aws.check_account(where)
        aws.check_image(where)  # each plan looks it up
        files = aws_stacks.project([*resolved, *_others(resolved, directory)], templates())
    planner, plan = _planned(partial(_planner, files), as_json=as_json)
    if not plan.changes:
        return
    fresh = any(each.id == STORE and each.action == "create" for each in plan.stacks)
    addresses = [each for app in resolved for group in app.groups for each in group.elastic_ips]
    aws.check_premises(where, fresh=fresh, addresses=addresses)
    _check_buildable(codes, fresh=fresh)
    if not as_json:
        _show(plan, where, resolved)
    for line in _by_hand(planner, plan):
        output.line(line, error=True)
    _confirm(plan, f"Apply this to {where.id}?", f"homeport up -e {where.name} --yes", yes=yes, as_json=as_json)
    with output.Progress(quiet=as_json) as progress:
        again = f"homeport up -e {where.name}   # goes on where this stopped; homeport down takes away what is there"
        progress.goes_on(BEGUN, again)
        _apply(planner, plan, directory, progress)


def _looking(where: "Place") -> str:
    """Said before AWS is asked anything: it may take seconds."""
    at = f"account {where.aws.account} in {where.aws.region}" if where.aws is not None else "AWS"
    return f"asking {at} about {where.id}"


def _check_buildable(codes: "Sequence[Code]", *, fresh: bool) -> None:
    """What is made costs by the hour, and is for nothing where no release can be built. `fresh`: none can be there yet.
    Raises as `Builder.check`."""
    from homeport.cli import publish
    from homeport.wiring import engine, storage

    store = storage.store(storage.home())
    builder, catalogue = engine.builder(storage.home(), store), storage.catalogue(store)
    for each in codes:
        wanted = each.wanted
        if fresh or publish.fitting(wanted, catalogue) is None:
            builder.check(each.app, wanted.source, wanted.build, serving=wanted.serving)


def take_down(directory: Path, *, as_json: bool) -> tuple[str, ...]:
    """Names of the environment's stacks that went: all but the store's, whoever made them. Empty: there were none."""
    from homeport.plan import aws_stacks
    from homeport.stacks.shipping import templates
    from homeport.stacks.standing import orphan
    from homeport.wiring import aws

    where = remote.chosen()
    assert where is not None
    with output.Progress(quiet=as_json) as progress:
        progress.waiting(_looking(where))
        aws.check_account(where)
        files, target = aws_stacks.store_project(where, templates()), aws.target(where)
        there = aws.standing(where)
        progress.goes_on(BEGUN, f"homeport down --yes -e {where.name}   # sees it to its end")
        for ids in aws_stacks.removal(there):
            if NAMES in ids:
                aws.empty_names(where)
            gone = [orphan(there[each], target) for each in ids]
            planner, plan = _planned(partial(_planner, files, gone), as_json=as_json, ids=ids, allow=EMPTY)
            _apply(planner, plan, directory, progress, allow=EMPTY)
    return tuple(each.name for each in there.values())


def bring_alone(files: Mapping[str, str], id: str, directory: Path, command: str, *, yes: bool, as_json: bool) -> bool:
    """Whether this stack, which belongs to no environment, had to be changed to stand as `files` have it. What becomes
    of it isn't kept: there may be no store yet. Raises as `bring_up`; `command`: what confirms it."""
    from homeport.cli.stack_words import lines

    planner, plan = _planned(partial(_planner, files, within=id), as_json=as_json)
    if not plan.changes:
        return False
    if not as_json:
        for line in lines(plan):
            print(line)
    _confirm(plan, f"Apply this to {id}?", command, yes=yes, as_json=as_json)
    with output.Progress(quiet=as_json) as progress:
        _carry_out(planner, plan, progress, (id,), who=place.person(directory), kept=False)
    return True


def _others(resolved: "Sequence[Resolved]", directory: Path) -> "list[Resolved]":
    """What runs of the platform's other apps: their pools and routes stay as they are."""
    from homeport.wiring import storage

    platform = place.platform_here(directory)
    names = [each.name for each in platform.apps] if platform is not None else []
    missing = [each for each in names if each not in {one.app for one in resolved}]
    if not missing:
        return []
    catalogue = storage.catalogue(storage.store(storage.home()))
    found = [catalogue.current(each, resolved[0].place.name) for each in missing]
    return [each.resolved for each in found if each is not None]


def _planner(files: Mapping[str, str], others: "Sequence[Stack]" = (), *, within: str = "") -> "Planner":
    """Of the project as it is written into the environment's home. `others`: stacks that it doesn't have."""
    from homeport.wiring import stacks, storage

    directory = storage.home().root / within / "stacks"
    known = [path for path in directory.rglob("*") if path.is_file()] if directory.is_dir() else []
    for path in known:
        if str(path.relative_to(directory)) not in files:
            _remove(path)
    for name, text in files.items():
        _write(directory / name, text)
    planner = stacks.planner(stacks.project(directory))
    planner.add(others)
    return planner


@effect("environment_stacks.write")
def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text_file.replace(path, text)


@effect("environment_stacks.remove")
def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _planned(
    make: "Callable[[], Planner]", *, as_json: bool, ids: Sequence[str] = (), allow: frozenset[str] = frozenset()
) -> "tuple[Planner, Plan]":
    """Of what stands still: what an earlier command began in CloudFormation is waited for. `ids`: of these stacks; else
    of all. `allow`: resources that may go. Raises `Conflict` for a stack that can't be changed, or is somebody
    else's."""
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
    _refuse(plan, allow)
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
    from homeport.stacks.standing import by_hand
    from homeport.wiring import stacks

    # what becomes of the store's own stack isn't kept: it holds the history
    changed = [each for each in plan.stacks if each.changes and each.id != STORE]
    for each in changed:
        seen = planner.seen[each.id]
        if seen.deployed is None:
            continue
        last = stacks.history().to_last_end(each.target, each.name)
        if other := by_hand(seen.deployed, seen.text, last):
            since = f"{(last[0].ended or last[0].begun).at:%Y-%m-%d %H:%M} UTC"
            yield f"note: {each.id} was changed by hand since {since} ({', '.join(other)}): that is taken back"


def _refuse(plan: "Plan", allow: frozenset[str]) -> None:
    from homeport.stacks.apply import Wishes, refuse

    if plan.problems:
        first = plan.problems[0]
        details = tuple(f"{each.id}: {each.message}" for each in plan.problems)
        raise Conflict(f"the stack {first.id} can't be planned: {first.message}", hint=first.hint, details=details)
    refuse(plan, Wishes(allow=allow))


def _show(plan: "Plan", where: "Place", resolved: "Sequence[Resolved]") -> None:
    from homeport.cli.stack_words import lines
    from homeport.plan import aws_cost
    from homeport.plan.aws_name import hosts
    from homeport.plan.aws_stacks import of
    from homeport.wiring import aws

    for line in lines(plan):
        print(line)
    sizes = aws.sizes(where)
    price, unit, rest = _costs(where, aws_cost.count(resolved, sizes))
    for line in aws_cost.lines(resolved, sizes, of(where).instance_type, price, unit):
        output.line(line)
    if (zone := of(where).zone) is not None:
        for host in hosts(resolved, zone)[1]:
            print(f"{host} isn't in the hosted zone {zone}: its record is yours to make")
    print(f"and one load balancer{rest}")


def _costs(where: "Place", count: int) -> tuple[float | None, str, str]:
    """Of an instance by the hour, in what, and what is to be said of the rest, with so many instances. None: nobody
    says it."""
    from homeport.plan.aws_stacks import of
    from homeport.wiring import aws

    stated = of(where).price_per_hour
    if stated is not None:
        return stated, "", f"; what it and traffic cost by the hour: {PRICES}"
    try:
        found = aws.prices(where)
    except HomeportError as error:
        return None, "", f"; what these cost by the hour: {PRICES} ({error.message})"
    unit = f" {found.currency}"
    together = f"{found.instance * count + found.balancer:.4g}{unit}"
    rest = (
        f": {found.balancer:.4g}{unit} an hour\ntogether {together} an hour, disks, public addresses and traffic aside"
    )
    return found.instance, unit, rest


def _confirm(plan: "Plan", question: str, command: str, *, yes: bool, as_json: bool) -> None:
    from homeport.cli.stack_words import lines

    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise Invalid(
            "the environment's stacks change, and nobody is here to confirm it",
            hint=command,
            details=tuple(lines(plan)) if as_json else (),
        )
    click.confirm(question, abort=True)


def _apply(
    planner: "Planner",
    plan: "Plan",
    directory: Path,
    progress: output.Progress,
    *,
    allow: frozenset[str] = frozenset(),
) -> None:
    """The store first, by itself: what becomes of the others is written into it."""
    who = place.person(directory)
    if any(each.id == STORE and each.changes for each in plan.stacks):
        _carry_out(planner, plan, progress, (STORE,), who=who, kept=False)
    rest = [each.id for each in plan.stacks if each.id != STORE]
    _carry_out(planner, plan, progress, rest, who=who, kept=True, allow=allow)


def _carry_out(
    planner: "Planner",
    plan: "Plan",
    progress: output.Progress,
    ids: Collection[str],
    *,
    who: str,
    kept: bool,
    allow: frozenset[str] = frozenset(),
) -> None:
    from msgspec.structs import replace

    from homeport.cli.stack_words import event_line
    from homeport.stacks.apply import BAD, Wishes
    from homeport.wiring import stacks

    def say(id: str, what: "StackEvent | str") -> None:
        if isinstance(what, str):
            progress.say(f"{id}  {what}")
        elif output.live():
            progress.waiting(event_line(id, what))

    chosen = replace(plan, stacks=tuple(each for each in plan.stacks if each.id in ids))
    results = stacks.applier(planner, say, who=who, kept=kept).apply(chosen, Wishes(allow=allow, surprises=True))
    bad = [each for each in results if each.outcome in BAD]
    if bad:
        first = next((each.error for each in bad if each.error is not None), None)
        lines = tuple(f"{each.id}: {each.reason or each.outcome}" for each in bad)
        if first is not None and len(bad) == 1:
            raise first
        raise Failed("not all stacks could be applied", details=lines, hint="homeport up goes on where this stopped")
