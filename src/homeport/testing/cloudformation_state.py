"""What the scripted CloudFormation knows, and how its stacks move: a step at each look. For `testing.cloudformation`.

Sentences in quotation marks are AWS's: CloudFormation User Guide (UG) and API Reference (API).
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct, field

from homeport.model.stack import ChangeSet, Deployed, Drift, Replacement, ResourceChange, StackEvent, Status, Template
from homeport.plan.stack.evaluate import attributes, evaluate
from homeport.plan.stack.parameter import declared, scalar
from homeport.plan.stack.template import parse

STACK = "AWS::CloudFormation::Stack"
MASK = "****"
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class Contents(Struct, kw_only=True):
    """What one create or update makes of a stack."""

    template: str = ""
    parameters: dict[str, str] = {}
    """In clear, as CloudFormation keeps them."""
    tags: dict[str, str] = {}
    capabilities: tuple[str, ...] = ()
    service_role: str = ""
    notifications: tuple[str, ...] = ()
    physical: dict[str, str] = {}
    """Logical id → physical id."""
    attributes: dict[str, str] = {}
    """`Logical.Attribute` → value, where it isn't made up."""

    @property
    def body(self) -> Template:
        return parse(self.template, "template").body if self.template else {}


class Step(Struct, kw_only=True):
    """One event of an operation; of the stack itself where `logical_id` is empty."""

    status: str
    logical_id: str = ""
    type: str = ""
    physical_id: str = ""
    reason: str = ""
    cancelled: bool = False
    becomes: bool = False
    """The stack's contents are the new ones from here on."""


class Asked(Struct, kw_only=True):
    """A change set that was made. `looks`: how often it is still seen as pending."""

    change_set: ChangeSet
    contents: Contents
    create: bool
    looks: int = 1
    nested: dict[str, ChangeSet] = {}
    """Change sets of nested stacks, by id."""


class StackState(Struct, kw_only=True):
    id: str
    name: str
    status: Status
    reason: str = ""
    contents: Contents = field(default_factory=Contents)
    coming: Contents | None = None
    steps: list[Step] = []
    events: list[StackEvent] = []
    asked: dict[str, Asked] = {}
    policy: str = ""
    termination_protection: bool = False
    token: str = ""
    parent: str = ""
    changed_at: datetime = BEGINNING

    def describe(self, account: str, region: str) -> Deployed:
        known = declared(self.contents.body)
        hidden = {name for name, each in known.items() if each.hidden}
        values = {name: each.default for name, each in known.items() if each.default is not None}
        # API, Parameter: "NoEcho … mask the parameter value as asterisks (*****)"
        shown = {name: MASK if name in hidden else value for name, value in (values | self.contents.parameters).items()}
        return Deployed(
            id=self.id,
            name=self.name,
            status=self.status,
            reason=self.reason,
            parameters=shown,
            tags=self.contents.tags,
            outputs=outputs(self.contents, self.name, account, region),
            capabilities=self.contents.capabilities,
            service_role=self.contents.service_role,
            notifications=self.contents.notifications,
            termination_protection=self.termination_protection,
            parent=self.parent,
            changed_at=self.changed_at,
        )

    def advance(self, now: datetime) -> None:
        """The next step of what goes on has happened."""
        if not self.steps:
            return
        step = self.steps.pop(0)
        if step.becomes and self.coming is not None:
            self.contents, self.coming = self.coming, None
        if not step.logical_id:
            self.status, self.reason = Status(step.status), step.reason
        if not self.steps:
            self.changed_at = now
        self.events.append(
            StackEvent(
                id=f"{self.name}-{len(self.events):04d}",
                at=now,
                stack=self.id,
                logical_id=step.logical_id or self.name,
                physical_id=step.physical_id if step.logical_id else self.id,
                type=step.type or STACK,
                status=step.status,
                reason=step.reason,
                token=self.token,
                cancelled=step.cancelled,
            )
        )


class Failure(Struct, frozen=True):
    """What a test wants to go wrong: a resource of the next operation, and whether the way back goes wrong too."""

    logical_id: str
    reason: str
    stuck: bool = False


class World(Struct, kw_only=True):
    """All stacks, by account/region/name; those that were deleted by id."""

    stacks: dict[str, StackState] = {}
    deleted: dict[str, StackState] = {}
    failures: dict[str, list[Failure]] = {}
    replaced: dict[str, list[str]] = {}
    drifts: dict[str, list[Drift]] = {}
    looks: dict[str, int] = {}
    objects: dict[str, str] = {}
    """What was put into buckets, by bucket/key."""
    no_buckets: list[str] = []
    no_nested: list[str] = []
    """Stacks of whose nested ones CloudFormation can make no change sets."""
    ticks: int = 0

    def now(self) -> datetime:
        """Later at every call."""
        self.ticks += 1
        return BEGINNING + timedelta(seconds=self.ticks)


def outputs(contents: Contents, stack: str, account: str, region: str) -> dict[str, str]:
    """As CloudFormation would answer; a resource's attribute is its physical id and the attribute's name."""
    body = contents.body
    values = values_of(contents, stack, account, region)
    read = attributes(body.get("Outputs", {}))
    found = {}
    for name, said in evaluate(_with_attributes(body, contents, read), values)["Outputs"].items():
        if "Value" in said:
            found[name] = scalar(said["Value"])
    return found


def values_of(contents: Contents, stack: str, account: str, region: str) -> dict[str, Any]:
    """What Ref comes to: parameters, pseudo parameters, physical ids."""
    values: dict[str, Any] = {"AWS::Region": region, "AWS::AccountId": account, "AWS::StackName": stack}
    for name, each in declared(contents.body).items():
        value = contents.parameters.get(name, each.default or "")
        values[name] = value.split(",") if each.is_list else value
    return values | contents.physical


def _with_attributes(value: Any, contents: Contents, read: Iterable[str]) -> Any:
    """The same with GetAtt put in."""
    physical = contents.physical
    match value:
        case {"Fn::GetAtt": [str() as name, str() as attribute]} if f"{name}.{attribute}" in contents.attributes:
            return contents.attributes[f"{name}.{attribute}"]
        case {"Fn::GetAtt": [str() as name, str() as attribute]} if name in physical:
            return f"{physical[name]}.{attribute}"
        case {"Fn::Sub": str() as text}:
            for name in read:
                text = text.replace("${" + name + ".", "${!" + name + ".") if name not in physical else text
            return {"Fn::Sub": text}
        case dict():
            return {key: _with_attributes(each, contents, read) for key, each in value.items()}
        case list():
            return [_with_attributes(each, contents, read) for each in value]
    return value


# --- operations -----------------------------------------------------------------------------------------------------


def creation(changes: Iterable[ResourceChange], physical: dict[str, str], failure: Failure | None) -> list[Step]:
    """UG, stack failure options: "Roll back all stack resources"; "ROLLBACK_COMPLETE … can only be deleted." """
    made = list(changes)
    steps = [Step(status="CREATE_IN_PROGRESS", reason="User Initiated")]
    for number, each in enumerate(made):
        steps.append(_of(each, "CREATE_IN_PROGRESS"))
        if failure and failure.logical_id == each.logical_id:
            steps.append(_of(each, "CREATE_FAILED", _nested_only(each, physical), reason=failure.reason))
            steps += _cancelled(made[number + 1 :], "CREATE")
            steps.append(Step(status="ROLLBACK_IN_PROGRESS", reason=_given_up([each.logical_id])))
            steps += [_of(one, "DELETE_COMPLETE", physical) for one in reversed(made[:number])]
            steps.append(Step(status="ROLLBACK_FAILED" if failure.stuck else "ROLLBACK_COMPLETE"))
            return steps
        steps.append(_of(each, "CREATE_COMPLETE", physical))
    return [*steps, Step(status="CREATE_COMPLETE", becomes=True)]


def update(changes: Iterable[ResourceChange], physical: dict[str, str], failure: Failure | None) -> list[Step]:
    """UG, update behaviors: "After successfully creating the new resource, CloudFormation … deletes the old resource."

    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS: Ongoing removal of old resources …, after a successful stack update."
    """
    made = list(changes)
    steps = [Step(status="UPDATE_IN_PROGRESS", reason="User Initiated")]
    gone: list[ResourceChange] = []
    for number, each in enumerate(made):
        if each.action == "remove":
            gone.append(each)
            continue
        verb = "CREATE" if each.action == "add" else "UPDATE"
        steps.append(_of(each, f"{verb}_IN_PROGRESS"))
        if failure and failure.logical_id == each.logical_id:
            steps.append(_of(each, f"{verb}_FAILED", _nested_only(each, physical), reason=failure.reason))
            steps += _cancelled([one for one in made[number + 1 :] if one.action != "remove"], "UPDATE")
            steps.append(Step(status="UPDATE_ROLLBACK_IN_PROGRESS", reason=_given_up([each.logical_id])))
            steps += [_of(one, "UPDATE_COMPLETE", physical) for one in reversed(made[:number])]
            if failure.stuck:
                return [*steps, Step(status="UPDATE_ROLLBACK_FAILED", reason=failure.reason)]
            steps.append(Step(status="UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"))
            return [*steps, Step(status="UPDATE_ROLLBACK_COMPLETE")]
        if each.replacement is Replacement.YES:
            gone.append(each)
        steps.append(_of(each, f"{verb}_COMPLETE", physical))
    steps.append(Step(status="UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", becomes=True))
    steps += [_of(each, "DELETE_COMPLETE") for each in gone if not each.retained]
    return [*steps, Step(status="UPDATE_COMPLETE")]


def deletion(resources: dict[str, str], physical: dict[str, str], failure: Failure | None) -> list[Step]:
    """`resources`: logical id → type."""
    steps = [Step(status="DELETE_IN_PROGRESS", reason="User Initiated")]
    for name, type in reversed(resources.items()):
        each = ResourceChange(action="remove", logical_id=name, type=type)
        steps.append(_of(each, "DELETE_IN_PROGRESS", physical))
        if failure and failure.logical_id == name:
            steps.append(_of(each, "DELETE_FAILED", physical, reason=failure.reason))
            reason = f"The following resource(s) failed to delete: [{name}]."
            return [*steps, Step(status="DELETE_FAILED", reason=reason)]
        steps.append(_of(each, "DELETE_COMPLETE", physical))
    return [*steps, Step(status="DELETE_COMPLETE")]


def _of(change: ResourceChange, status: str, physical: dict[str, str] | None = None, reason: str = "") -> Step:
    id = (physical or {}).get(change.logical_id, "")
    return Step(status=status, logical_id=change.logical_id, type=change.type, physical_id=id, reason=reason)


def _nested_only(change: ResourceChange, physical: dict[str, str]) -> dict[str, str]:
    """A nested stack has its id before it fails."""
    return physical if change.type == STACK else {}


def _cancelled(changes: Iterable[ResourceChange], verb: str) -> list[Step]:
    """What was under way beside the one that failed: at most one, to have a cascade without a flood."""
    reason = "Resource creation cancelled" if verb == "CREATE" else "Resource update cancelled"
    failed = [_of(each, f"{verb}_FAILED", reason=reason) for each in list(changes)[:1]]
    return [msgspec.structs.replace(each, cancelled=True) for each in failed]


def _given_up(names: list[str]) -> str:
    return f"The following resource(s) failed to create: [{', '.join(names)}]. Rollback requested by user."
