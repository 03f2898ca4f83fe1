"""What CloudFormation says that it will do, against what was planned and is allowed. Pure; called by
`stacks.operation`."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict
from homeport.model.stack import Import, Replacement, ResourceChange
from homeport.model.stack_plan import StackPlan
from homeport.plan.stack.replacement import stateful


class Review(Struct, frozen=True, kw_only=True):
    """What may be done beyond the plan. `allowed`: logical ids whose replacement or deletion is wanted by name;
    `surprises`: whether resources may be made anew that the plan didn't name."""

    allowed: frozenset[str] = frozenset()
    surprises: bool = False
    imports: tuple[Import, ...] = ()
    retain: tuple[str, ...] = ()


def nested_change(plan: StackPlan, change: ResourceChange, path: str) -> ResourceChange:
    """A line of a nested stack's change set, called as in the plan: `Web/Group`. Where CloudFormation can't know a
    value (another nested stack's output) it says that a resource may be made anew; then the plan's word counts, which
    goes by what is deployed."""
    found = replace(change, logical_id=f"{path}{change.logical_id}")
    if found.replacement is Replacement.MAYBE and found.logical_id not in _replaced(plan):
        return replace(found, replacement=Replacement.NO)
    return found


def check(plan: StackPlan, changes: Iterable[ResourceChange], review: Review) -> None:
    """Nothing, where all this may be done. Raises `Conflict`."""
    said = tuple(changes)
    check_protected(plan, [each.logical_id for each in said if stateful(each)], review)
    planned = _replaced(plan)
    surprises = [each.logical_id for each in said if each.replacement is not Replacement.NO]
    unknown = [each for each in surprises if each not in planned and each not in review.allowed]
    if unknown and not review.surprises:
        raise Conflict(
            f"{plan.id}: CloudFormation would replace {', '.join(unknown)}, which isn't in the plan",
            hint=f"--allow-replace {plan.id}/{unknown[0]}",
        )


def check_protected(plan: StackPlan, names: Iterable[str], review: Review) -> None:
    """Nothing, where nobody's data would be lost that isn't allowed to. Raises `Conflict`."""
    refused = [each for each in names if each not in review.allowed]
    if refused:
        raise Conflict(
            f"{plan.id}: {', '.join(refused)} would be replaced or deleted, with what is in it",
            hint=" ".join(f"--allow-replace {plan.id}/{each}" for each in refused),
        )


def _replaced(plan: StackPlan) -> frozenset[str]:
    return frozenset(each.logical_id for each in plan.resources if each.replacement is not Replacement.NO)
