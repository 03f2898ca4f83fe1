"""What the simulated CloudFormation knows of a stack, its resources and what is asked for it. Used by `stack`,
`change_set`, `cloudformation` and what these call."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from homeport.model.stack import Status, Template
from homeport.plan.stack.parameter import declared
from homeport.plan.stack.replacement import Schema
from homeport.simulation.aws import stack_type
from homeport.system.clock import SystemClock


class Contents(Struct, frozen=True, kw_only=True):
    """What one create or update makes of a stack. `parameters`: in clear, as they were given; `looked_up`: what those
    of SSM types name."""

    text: str = ""
    body: Template = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    looked_up: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    role: str = ""
    notifications: tuple[str, ...] = ()


class Resource(Struct, frozen=True, kw_only=True):
    """One that stands: `properties` without functions, as it was made or updated last."""

    name: str
    type: str
    id: str
    properties: dict[str, Any]
    attributes: dict[str, Any]
    policy: str = ""
    status: str = "CREATE_COMPLETE"
    at: datetime


class Stack(Struct, kw_only=True):
    id: str
    name: str
    status: Status
    reason: str = ""
    contents: Contents = field(default_factory=Contents)
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    change_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, Contents] = field(default_factory=dict)
    policy: str = ""
    protected: bool = False
    token: str = ""
    created_at: datetime
    updated_at: datetime | None = None

    def record(self, status: str, resource: Resource | None = None, name: str = "", reason: str = "") -> None:
        """An event, of the stack itself where no resource is named."""
        own = not name
        said = {
            "EventId": f"{len(self.events):06d}-{hashlib.sha256(self.id.encode()).hexdigest()[:12]}",
            "StackId": self.id,
            "StackName": self.name,
            "LogicalResourceId": self.name if own else name,
            "PhysicalResourceId": self.id if own else resource.id if resource else "",
            "ResourceType": "AWS::CloudFormation::Stack" if own else resource.type if resource else "",
            "Timestamp": SystemClock().now(),
            "ResourceStatus": status,
            "ResourceStatusReason": reason or None,
            "ClientRequestToken": self.token or None,
        }
        self.events.append(said)
        if own:
            self.status, self.reason = Status(status), reason


class Place(Struct, frozen=True):
    """Where stacks stand. `exports`: by name; `schema`: what of a type can't be changed in place."""

    client: stack_type.Clients
    account: str
    region: str
    zones: tuple[str, ...]
    exports: Callable[[], Mapping[str, str]]
    schema: Callable[[str], Schema | None]


def values(contents: Contents, stack: Stack, place: Place) -> dict[str, Any]:
    """What Ref gives for parameters and pseudo parameters."""
    found: dict[str, Any] = {
        "AWS::Region": place.region,
        "AWS::AccountId": place.account,
        "AWS::StackName": stack.name,
        "AWS::StackId": stack.id,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::NotificationARNs": list(contents.notifications),
    }
    for name, each in declared(contents.body).items():
        value = contents.looked_up.get(name) or contents.parameters.get(name, each.default or "")
        found[name] = value.split(",") if each.is_list else value
    return found
