"""`homeport stack delete`, `prune`, `import`, `unlock` and `twin`: rarer changes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output
from homeport.cli.stack import directory, planner, stack_argument
from homeport.cli.stack_apply import finish, why
from homeport.errors import Conflict, Invalid

if TYPE_CHECKING:
    from homeport.model.stack import Import
    from homeport.model.stack_plan import StackPlan
    from homeport.stacks.planner import Planner

yes = click.option("--yes", is_flag=True, help="Don't ask.")
allow = click.option(
    "--allow-replace",
    "allow",
    multiple=True,
    metavar="STACK/RESOURCE",
    help="This resource holds data and may go all the same. Repeatable.",
)


@click.command(
    epilog=options.example(
        "homeport stack delete review/web",
        "homeport stack delete review --yes",
        "homeport stack delete a --retain a/Logs",
    )
)
@click.argument("stacks", nargs=-1, required=True, metavar="STACK...", shell_complete=candidates.stacks)
@yes
@allow
@click.option(
    "--retain",
    multiple=True,
    metavar="STACK/RESOURCE",
    help="Leave this resource where it is, after a failed deletion.",
)
@why
@directory
@options.as_json
def delete(
    stacks: tuple[str, ...],
    yes: bool,
    allow: tuple[str, ...],
    retain: tuple[str, ...],
    why: str,
    directory: Path,
    as_json: bool,
) -> int:
    """Delete stacks, those that need others first.

    Refused where a stack that stays reads outputs of one that would go.
    """
    from homeport.stacks.apply import Wishes

    found = planner(directory)
    ids = found.project.select(stacks)
    found.removing = frozenset(ids)
    with output.Progress(quiet=as_json) as progress:
        plan = found.plan(ids, progress.waiting)
    going = {each.id for each in plan.stacks if each.changes}
    left = sorted({reader for each in plan.stacks if each.id in going for reader in each.consumers} - set(ids))
    standing = [each for each in left if _stands(found, each)]
    if standing:
        raise Conflict(
            f"{', '.join(standing)} would be left without outputs that they read; nothing was done",
            hint=f"homeport stack delete {' '.join((*stacks, *standing))}",
        )
    wishes = Wishes(allow=frozenset(allow), retain=frozenset(retain))
    return finish(found, plan, wishes, yes=yes, why=why, as_json=as_json, verb="Delete")


def _stands(found: "Planner", id: str) -> bool:
    stack = found.project.stack(id)
    return found.cloud.cloudformation(stack.target).describe(stack.name) is not None


@click.command(epilog=options.example("homeport stack prune", "homeport stack prune --yes --json"))
@yes
@allow
@why
@directory
@options.as_json
def prune(yes: bool, allow: tuple[str, ...], why: str, directory: Path, as_json: bool) -> int:
    """Delete stacks that bear the project's tag, and that it no longer has.

    Looked for in the accounts and regions where the project has stacks. The tag is there once config.yaml says
    `project: NAME`.
    """
    from homeport.stacks.apply import Wishes
    from homeport.stacks.standing import orphans

    found = planner(directory)
    with output.Progress(quiet=as_json) as progress:
        progress.waiting("looking for stacks that the project no longer has")
        gone = orphans(found)
    alone = planner(directory)
    alone.add(gone)
    plan = alone.plan([each.id for each in gone])
    wishes = Wishes(allow=frozenset(allow), at_once=1)
    return finish(alone, plan, wishes, yes=yes, why=why, as_json=as_json, verb="Delete")


@click.command(
    "import", epilog=options.example("homeport stack import production/data Orders=orders-table Logs=logs-bucket")
)
@stack_argument
@click.argument("resources", nargs=-1, required=True, metavar="RESOURCE=ID...")
@yes
@why
@directory
@options.as_json
def import_(stack: str, resources: tuple[str, ...], yes: bool, why: str, directory: Path, as_json: bool) -> int:
    """Take resources that exist into a stack.

    RESOURCE is the logical id that the template gives it, with a DeletionPolicy; ID what its service calls it. Where
    more than one property names a resource: RESOURCE=Property:value,Property:value.
    """
    from homeport.stacks.apply import Wishes

    found = planner(directory)
    ids = found.project.select((stack,))
    if len(ids) != 1:
        raise Invalid(f"{stack!r} means {len(ids)} stacks; expected one")
    with output.Progress(quiet=as_json) as progress:
        plan = found.plan(ids, progress.waiting)
    imports: tuple[Import, ...] = ()
    if plan.stacks:
        imports = tuple(_import(each, plan.stacks[0]) for each in resources)
        others = [each.logical_id for each in plan.stacks[0].resources if each.logical_id not in _ids(imports)]
        if others:
            raise Conflict(
                f"{ids[0]} differs in {', '.join(others)} too; CloudFormation imports or changes, not both at once",
                hint=f"homeport stack plan {ids[0]}",
            )
    wishes = Wishes(imports={ids[0]: imports})
    return finish(found, plan, wishes, yes=yes, why=why, as_json=as_json, verb="Import into")


def _ids(imports: "tuple[Import, ...]") -> set[str]:
    return {each.logical_id for each in imports}


def _import(word: str, plan: "StackPlan") -> "Import":
    from homeport.model.stack import Import
    from homeport.plan.mistake import instead
    from homeport.stacks.schema import Schemas

    name, equals, said = word.partition("=")
    types = {each.logical_id: each.type for each in plan.resources if each.action == "add"}
    if not equals or not said:
        raise Invalid(f"expected RESOURCE=ID, found {word!r}")
    if name not in types:
        raise Invalid(f"{plan.id} has no resource {name} that isn't deployed yet{instead(name, types)}")
    schema = Schemas(plan.target.region)(types[name])
    known = schema.identifier if schema else ()
    if known and all(f"{each}:" in said for each in known):
        pairs = dict(each.partition(":")[::2] for each in said.split(","))
    elif len(known) == 1:
        pairs = {known[0]: said}
    else:
        raise Invalid(
            f"{name} is named by {' and '.join(known) or 'properties that nobody here knows'}",
            hint=f"{name}={','.join(f'{each}:…' for each in known) or 'Property:value'}",
        )
    return Import(logical_id=name, type=types[name], identifier=pairs)


@click.command(epilog=options.example("homeport stack unlock production/web", "homeport stack unlock web --skip Group"))
@stack_argument
@click.option(
    "--skip", multiple=True, metavar="RESOURCE", help="What the rollback can't mend, and shall leave. Repeatable."
)
@directory
@options.as_json
def unlock(stack: str, skip: tuple[str, ...], directory: Path, as_json: bool) -> None:
    """Make a stuck stack applicable again.

    A rollback that failed goes on, change sets that were left are deleted, and so is a stack that never got beyond
    its review. Nothing that runs is disturbed.
    """
    from homeport.cli.stack_words import event_line
    from homeport.wiring import stacks

    found = planner(directory)
    ids = found.project.select((stack,))
    if len(ids) != 1:
        raise Invalid(f"{stack!r} means {len(ids)} stacks; expected one")
    with output.Progress(quiet=as_json) as progress:
        done = stacks.unlock(found, ids[0], skip, lambda event: progress.say(event_line(ids[0], event)))
    if as_json:
        output.emit({"id": ids[0], "done": done})
        return
    for line in done or ("nothing to unlock",):
        print(f"{ids[0]}  {line}")


@click.command(
    epilog=options.example("homeport stack twin production/edge", "homeport stack twin edge --as edge-b -p Size=large")
)
@stack_argument
@click.option("--as", "name", metavar="NAME", help="The twin's name. Default: the stack's with -2 after it.")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Of its own. Repeatable.")
@directory
@options.as_json
def twin(stack: str, name: str | None, parameters: tuple[str, ...], directory: Path, as_json: bool) -> None:
    """Put an exact copy beside a stack, to take its place.

    Writes a file that says `like:` and what differs; `stack apply` makes it. With a DNS name in a stack of its own
    the swap is one changed reference there; then the old one gets `obsolete: true` and goes with the next apply.
    """
    from homeport.stacks import skeleton

    project = planner(directory).project
    ids = project.select((stack,))
    if len(ids) != 1:
        raise Invalid(f"{stack!r} means {len(ids)} stacks; expected one")
    pairs = dict(each.partition("=")[::2] for each in parameters)
    path = skeleton.twin(project, ids[0], name or "", pairs)
    if as_json:
        output.emit({"id": ids[0], "file": path})
        return
    print(f"{path} is like {ids[0]}")
    print(f"→ homeport stack apply {Path(path).with_suffix('').as_posix().partition('/')[2]}")


@click.command(
    epilog=options.example("homeport stack init", "homeport stack init --account 123456789012 --region eu-west-1")
)
@click.option("--account", metavar="ACCOUNT", default="", help="Twelve digits: the only account it may be applied to.")
@click.option("--region", metavar="REGION", default="eu-west-1", help="Default: eu-west-1.")
@click.option("--project", metavar="NAME", default="", help="Becomes a tag, by which stack prune knows its stacks.")
@directory
@options.as_json
def init(account: str, region: str, project: str, directory: Path, as_json: bool) -> None:
    """Begin a project: a directory stacks/ with settings and one small stack. What is there stays."""
    from homeport.stacks import skeleton

    files = skeleton.begin(directory, account=account, region=region, project=project)
    if as_json:
        output.emit({"files": files})
        return
    for each in files:
        print(f"wrote {each}")
    print(
        "→ homeport stack plan"
        if account
        else "→ write your account into stacks/config.yaml, then: homeport stack plan"
    )
