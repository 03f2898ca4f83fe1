"""A plan of stacks in words. Called by `stack plan` and `stack apply`."""

from collections import Counter
from collections.abc import Iterator

from homeport.cli.output import plural, printable
from homeport.model.stack import Drift, Replacement, ResourceChange, StackEvent
from homeport.model.stack_plan import Action, Change, Plan, StackPlan

SIGNS = {
    Action.CREATE: "+",
    Action.RECREATE: "-/+",
    Action.UPDATE: "~",
    Action.REPLACE: "~!",
    Action.DELETE: "-",
    Action.NONE: "=",
    Action.BLOCKED: "x",
}
VERBS = {"add": "+", "modify": "~", "remove": "-", "import": "<", "dynamic": "?"}
MADE_ANEW = {Replacement.YES: "made anew", Replacement.MAYBE: "may be made anew"}


def lines(plan: Plan) -> Iterator[str]:
    """All of it, for people: a block for each stack that changes or can't, a line of counts at the end."""
    for each in plan.stacks:
        if each.action is not Action.NONE or each.notes or each.drift:
            yield from map(printable, _stack(each))
    yield summary(plan)


def summary(plan: Plan) -> str:
    """`2 to create, 1 unchanged`."""
    counts = Counter(each.action for each in plan.stacks)
    words = {Action.NONE: "unchanged", Action.BLOCKED: "blocked"}
    found = [f"{counts[each]} {words.get(each, f'to {each}')}" for each in Action if counts[each]]
    if plan.problems:
        found.append(f"{len(plan.problems)} that can't be planned")
    return ", ".join(found) or "no stacks"


def _stack(plan: StackPlan) -> Iterator[str]:
    yield f"{SIGNS[plan.action]} {plan.id}  {plan.action}: {plan.reason}  ({plan.target.account} {plan.target.region})"
    for title, changes in (
        ("parameters", plan.parameters),
        ("tags", plan.tags),
        ("settings", plan.settings),
        ("outputs", plan.outputs),
    ):
        if changes:
            yield f"    {title}"
            yield from (f"      {_change(each)}" for each in changes)
    if plan.resources:
        yield "    resources"
        for each in plan.resources:
            yield from _resource(each, each.logical_id in plan.protected)
    if plan.drift:
        yield "    changed by hand"
        for drifted in plan.drift:
            yield from (f"      {line}" for line in drift_lines(drifted))
    if plan.consumers:
        yield f"    its outputs are read by {', '.join(plan.consumers)}"
    for note in plan.notes:
        yield f"    note: {note}"


def drift_lines(drifted: Drift) -> Iterator[str]:
    """A resource, and what is different about it."""
    gone = "  deleted" if drifted.deleted else ""
    yield f"{drifted.logical_id}  {drifted.type}{gone}"
    yield from (f"    {each}" for each in drifted.differences)


def _change(change: Change) -> str:
    if change.before is None:
        return f"+ {change.name}: {change.after}"
    if change.after is None:
        return f"- {change.name}: {change.before}"
    return f"~ {change.name}: {change.before} → {change.after}"


def _resource(change: ResourceChange, protected: bool) -> Iterator[str]:
    what = f"  {MADE_ANEW[change.replacement]}" if change.replacement in MADE_ANEW else ""
    kept = "  (what was there is kept)" if change.retained and (change.action == "remove" or what) else ""
    danger = "  PROTECTED: it holds data" if protected else ""
    yield f"      {VERBS.get(change.action, '?')} {change.logical_id}  {change.type}{what}{kept}{danger}"
    yield from (f"          {cause}" for cause in change.causes)


def event_line(id: str, event: StackEvent) -> str:
    """One event, as it happens."""
    reason = f"  {event.reason}" if event.reason else ""
    return f"{id}  {event.logical_id}  {event.type}  {event.status}{reason}"


def counted(plan: Plan) -> str:
    """`3 stacks`, those that change."""
    return plural(sum(each.changes for each in plan.stacks), "stack")
