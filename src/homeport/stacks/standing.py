"""What stands in the clouds beyond single descriptions: drift, resources of nested stacks, stacks that the project no
longer has. Called by commands that read, by `stack plan --drift` and by `stack prune`; by wiring for environments."""

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from homeport.errors import Conflict, Invalid, Unavailable
from homeport.model.located import Located, Mark
from homeport.model.stack import Deployed, Drift, Stack, StackResource, Status, Target
from homeport.model.stack_history import Begun, Operated
from homeport.plan.stack.package import NESTED
from homeport.plan.stack.parameter import MASK
from homeport.plan.stack.setting import OWNER_TAG, STACK_TAG
from homeport.plan.stack.template import parse
from homeport.ports.cloudformation import CloudFormation
from homeport.stacks.apply import Outcome
from homeport.stacks.planner import Planner

FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS, SLOWER = 0.2, 5.0, 1.5
LOOKS = 200
"""Until it is given up: some 15 minutes."""


def drift(formation: CloudFormation, name: str, pause: Callable[[float], None]) -> tuple[Drift, ...]:
    """Resources that aren't as the deployed template says. Raises `Conflict` for a stack in a state in which
    CloudFormation doesn't look, `Unavailable` after a quarter of an hour."""
    detection = formation.detect_drift(name)
    seconds = FIRST_LOOK_SECONDS
    for _ in range(LOOKS):
        found = formation.drift(name, detection)
        if found is not None:
            return tuple(sorted(found, key=lambda each: each.logical_id))
        pause(seconds)
        seconds = min(LAST_LOOK_SECONDS, seconds * SLOWER)
    raise Unavailable(f"CloudFormation still looks for drift of {name}", hint="homeport stack drift, later")


def resources(formation: CloudFormation, stack: str, path: str = "") -> Iterator[tuple[str, StackResource]]:
    """With the path of logical ids (`Web/Group`), those of nested stacks after the nested stack itself."""
    for each in sorted(formation.resources(stack), key=lambda one: one.logical_id):
        place = f"{path}{each.logical_id}"
        yield place, each
        if each.type == NESTED and each.physical_id:
            yield from resources(formation, each.physical_id, f"{place}/")


def orphans(planner: Planner) -> list[Stack]:
    """Stacks that bear the project's tag where it has others, and aren't in it any more; each to be deleted. Raises
    `Invalid` where the project has no name, or can't be read as a whole: what isn't understood isn't deleted."""
    planner.load(planner.project.entries)
    if planner.problems:
        id, problem = next(iter(planner.problems.items()))
        raise Conflict(f"{len(planner.problems)} stacks of the project can't be read, {id} for one: {problem.message}")
    names = {each.project for each in planner.stacks.values() if each.project}
    if not names:
        raise Invalid(
            "the project has no name, so that nobody knows which stacks are its own", hint="project: … in config.yaml"
        )
    ours = {(each.target.account, each.target.region, each.name) for each in planner.stacks.values()}
    found = []
    for target in sorted({each.target for each in planner.stacks.values()}):
        planner.guard(target)
        for deployed in planner.cloud.cloudformation(target).list():
            owned = deployed.tags.get(OWNER_TAG) in names and not deployed.parent
            if owned and (target.account, target.region, deployed.name) not in ours:
                found.append(orphan(deployed, target))
    return found


def of_owner(formation: CloudFormation, owner: str) -> dict[str, Deployed]:
    """The stacks of that project in one account and region, by their ids, whoever made them."""
    return {
        each.tags.get(STACK_TAG, each.name): each
        for each in _as_meant(formation)
        if each.tags.get(OWNER_TAG) == owner and not each.parent
    }


def by_hand(deployed: Deployed, text: str, operations: Sequence[Operated]) -> list[str]:
    """In what the stack, whose template is `text`, isn't as one of these left it, the newest first: the last that
    ended, or one after it whose end nobody saw. Nothing where that didn't end well, or nobody can know."""
    if not text:
        return []  # only a change set was ever made
    found = []
    for each in operations:
        if (each.ended is not None and each.ended.outcome != Outcome.DONE) or not each.begun.template:
            return []
        found.append(_other(deployed, text, each.begun))
    return found[0] if found and all(found) else []


def _other(deployed: Deployed, text: str, begun: Begun) -> list[str]:
    values = deployed.parameters
    other = [name for name, value in begun.parameters.items() if value not in (MASK, values.get(name, value))]
    if parse(begun.template, deployed.name).body != parse(text, deployed.name).body:
        other.append("its template")
    return other


def _as_meant(formation: CloudFormation) -> Iterator[Deployed]:
    """The stacks. One of which only a change set was made, because somebody died there, has no tags yet: they are the
    change set's."""
    for each in formation.list():
        if each.status is Status.REVIEW_IN_PROGRESS and not each.tags:
            asked = [formation.change_set(one.id).tags for one in formation.change_sets(each.name)]
            yield replace(each, tags=next((tags for tags in asked if tags), {}))
        else:
            yield each


def orphan(deployed: Deployed, target: Target) -> Stack:
    """A stack that no file says anything about, to be deleted."""
    at = Mark("(deployed)", 1, 1)
    return Stack(
        id=deployed.tags.get(STACK_TAG) or deployed.name,
        environment="",
        name=deployed.name,
        target=target,
        template="",
        parameters={},
        tags={name: Located(value, at, value) for name, value in deployed.tags.items()},
        variables={},
        obsolete=True,
        at=at,
    )
