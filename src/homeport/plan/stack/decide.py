"""What an apply would do to one stack: what is wanted against what is deployed. Pure; called by `stacks.planner`.

The action is decided by RULES: the first that matches.
"""

from collections.abc import Callable

from msgspec import Struct

from homeport.model.stack import Replacement, Status, Template, Unknown
from homeport.model.stack_plan import Action, StackPlan
from homeport.plan.stack import comparison
from homeport.plan.stack.database import WHY, databases
from homeport.plan.stack.evaluate import attributes, references
from homeport.plan.stack.nested import predict_inside
from homeport.plan.stack.parameter import declared
from homeport.plan.stack.replacement import SchemaOf, predict, stateful
from homeport.plan.stack.state import Observed, Wanted, base_digest, evaluated, wanted_digest


class Decided(Struct, frozen=True, kw_only=True):
    plan: StackPlan
    outputs: dict[str, str | Unknown]
    """What others may count on once it is applied."""


class Facts(Struct, frozen=True, kw_only=True):
    """What the rules look at."""

    status: Status | None
    obsolete: bool
    protected: bool
    differs: bool
    hidden: tuple[str, ...]
    """Parameters of which only CloudFormation can say whether they differ, where it shall be asked."""
    replaces: tuple[str, ...]
    only_maybe: bool


class Rule(Struct, frozen=True):
    name: str
    when: Callable[[Facts], bool]
    action: Action
    reason: Callable[[Facts], str]


NOT_THERE = (None, Status.DELETE_COMPLETE)
EMPTY = (Status.REVIEW_IN_PROGRESS, Status.DELETE_COMPLETE, Status.ROLLBACK_COMPLETE)
"""There is a stack of this name, but nothing in it."""
REMAINS = (Status.CREATE_FAILED, Status.ROLLBACK_FAILED, Status.DELETE_FAILED)
STUCK = (Status.UPDATE_ROLLBACK_FAILED, Status.UPDATE_FAILED, Status.IMPORT_ROLLBACK_FAILED)

RULES: tuple[Rule, ...] = (
    Rule(
        "what is obsolete and gone needs nothing",
        lambda facts: facts.obsolete and facts.status in NOT_THERE,
        Action.NONE,
        lambda facts: "obsolete, and not there",
    ),
    Rule(
        "what CloudFormation works on is left alone",
        lambda facts: facts.status is not None and facts.status.busy,
        Action.BLOCKED,
        lambda facts: f"CloudFormation is at work on it ({facts.status}): wait until it is done",
    ),
    Rule(
        "what is protected isn't deleted",
        lambda facts: facts.obsolete and facts.protected,
        Action.BLOCKED,
        lambda facts: "obsolete, but its termination protection is on: switch that off first",
    ),
    Rule("what is obsolete goes", lambda facts: facts.obsolete, Action.DELETE, lambda facts: "obsolete"),
    Rule(
        "what isn't there is created",
        lambda facts: facts.status in NOT_THERE,
        Action.CREATE,
        lambda facts: "it isn't there yet",
    ),
    Rule(
        "what waits for its first change set is created",
        lambda facts: facts.status is Status.REVIEW_IN_PROGRESS,
        Action.CREATE,
        lambda facts: "a change set was made for it, and never executed",
    ),
    # "ROLLBACK_COMPLETE: ... This status exists only after a failed stack creation. ... The stack can only be deleted."
    Rule(
        "what failed at its creation is made anew",
        lambda facts: facts.status is Status.ROLLBACK_COMPLETE,
        Action.RECREATE,
        lambda facts: "its creation failed and was taken back: all that is left of it is deleted first",
    ),
    Rule(
        "what is half there is for a person to look at",
        lambda facts: facts.status in REMAINS,
        Action.BLOCKED,
        lambda facts: f"it is {facts.status} and may still have resources: delete it, then apply",
    ),
    Rule(
        "what could not go back is for a person to look at",
        lambda facts: facts.status in STUCK,
        Action.BLOCKED,
        lambda facts: f"it is {facts.status}: its rollback must be continued first (homeport stack unlock)",
    ),
    Rule(
        "what nobody else can compare CloudFormation is asked about",
        lambda facts: bool(facts.hidden) and not facts.differs,
        Action.UPDATE,
        lambda facts: f"{', '.join(facts.hidden)} may differ: CloudFormation will say",
    ),
    Rule(
        "what is as wanted stays",
        lambda facts: not facts.differs,
        Action.NONE,
        lambda facts: "it is as it should be",
    ),
    Rule(
        "what can't be changed in place is replaced",
        lambda facts: bool(facts.replaces),
        Action.REPLACE,
        lambda facts: f"{'may replace' if facts.only_maybe else 'replaces'} {', '.join(facts.replaces)}",
    ),
    Rule("what differs is updated", lambda facts: True, Action.UPDATE, lambda facts: "it differs"),
)


def decide(
    wanted: Wanted, seen: Observed, schema_of: SchemaOf, *, needs: tuple[str, ...] = (), hidden: bool = False
) -> Decided:
    """The stack's plan, and its outputs as far as they can be known. `hidden`: NoEcho parameters may have changed."""
    stack, deployed = wanted.stack, seen.deployed
    there = deployed is not None and deployed.status not in EMPTY
    old, new = evaluated(wanted, seen)
    old = old if there else {}
    if stack.obsolete:
        new = {"Resources": {}}
    resources = predict(old, new, schema_of)
    resources += predict_inside(old, new, seen.nested if there else {}, wanted.nested, schema_of)
    replaced = [each for each in resources if each.replacement is not Replacement.NO]
    parameters = comparison.parameters(wanted, seen) if not stack.obsolete else ()
    tags = comparison.tags(wanted, deployed) if not stack.obsolete else ()
    settings = comparison.settings(wanted, seen) if there and not stack.obsolete else ()
    outputs = () if stack.obsolete else comparison.outputs(old, new)
    facts = Facts(
        status=deployed.status if deployed else None,
        obsolete=stack.obsolete,
        protected=deployed is not None and deployed.termination_protection,
        differs=bool(resources or tags or settings or outputs or _opaque(wanted, seen)),
        hidden=_hidden(wanted) if hidden and there and not stack.obsolete else (),
        replaces=tuple(each.logical_id for each in replaced),
        only_maybe=all(each.replacement is Replacement.MAYBE for each in replaced),
    )
    rule = next(each for each in RULES if each.when(facts))
    shown = rule.action is not Action.NONE
    plan = StackPlan(
        id=stack.id,
        name=stack.name,
        target=stack.target,
        action=rule.action,
        reason=rule.reason(facts),
        needs=needs,
        parameters=parameters if shown else (),
        tags=tags,
        settings=settings,
        outputs=outputs,
        resources=resources if shown else (),
        protected=tuple(each.logical_id for each in resources if stateful(each)) if there else (),
        notes=_notes(wanted, seen, shown),
        base=base_digest(seen),
        wanted=wanted_digest(wanted),
    )
    return Decided(plan=plan, outputs=_known_outputs(wanted, seen, old, new, plan))


def _opaque(wanted: Wanted, seen: Observed) -> bool:
    """Whether the templates differ where evaluation can't look: macros may do anything."""
    if seen.deployed is None or "Transform" not in {*wanted.template, *seen.template}:
        return False
    return wanted.template != seen.template


def _hidden(wanted: Wanted) -> tuple[str, ...]:
    return tuple(name for name, each in declared(wanted.template).items() if each.hidden and name in wanted.parameters)


def _notes(wanted: Wanted, seen: Observed, changes: bool) -> tuple[str, ...]:
    found = []
    hidden = _hidden(wanted)
    if hidden and seen.deployed is not None and not changes:
        found.append(f"{', '.join(hidden)}: NoEcho, so that only CloudFormation can say whether it differs: --hidden")
    if changes and not wanted.stack.protected and (held := databases(wanted.template)):
        found.append(f"{', '.join(held)}: {WHY}")
    if not changes and seen.deployed is not None and seen.template and wanted.template != seen.template:
        found.append("the template reads otherwise, but nothing in it that CloudFormation would change")
    return tuple(found)


def _known_outputs(
    wanted: Wanted, seen: Observed, old: Template, new: Template, plan: StackPlan
) -> dict[str, str | Unknown]:
    deployed = seen.deployed.outputs if seen.deployed else {}
    if plan.action in (Action.NONE, Action.BLOCKED):
        return dict(deployed)
    if plan.action is Action.DELETE:
        return {}
    changed = {each.logical_id for each in plan.resources}
    added = {each.logical_id for each in plan.resources if each.action == "add"}
    remade = added | {each.logical_id for each in plan.replaced}
    found: dict[str, str | Unknown] = {}
    for name, said in new.get("Outputs", {}).items():
        value = said.get("Value") if isinstance(said, dict) else None
        before = old.get("Outputs", {}).get(name)
        stays = before is not None and before.get("Value") == value and name in deployed
        moved = references(value) & remade or attributes(value) & changed
        if isinstance(value, str):
            found[name] = value
        elif stays and not moved and plan.action is not Action.RECREATE:
            found[name] = deployed[name]
        else:
            found[name] = Unknown((f"{wanted.stack.id}/{name}",))
    return found
