"""Change sets of the simulated CloudFormation. Registered by `cloudformation`.

Sentences in quotation marks are AWS's: CloudFormation API Reference (API).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from homeport.model.stack import Replacement, ResourceChange, Status
from homeport.plan.stack.evaluate import evaluate
from homeport.plan.stack.replacement import predict
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused
from homeport.simulation.aws.stack import Operation
from homeport.simulation.aws.stack_model import Contents, Place, Stack, values
from homeport.simulation.aws.stack_register import Register, check_free
from homeport.stacks.schema import Schemas
from homeport.system.clock import SystemClock

EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."


class ChangeSets:
    def __init__(self, register: Register) -> None:
        self._register = register

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "CreateChangeSet": self.create,
            "DescribeChangeSet": self.describe,
            "ListChangeSets": self.list,
            "ExecuteChangeSet": self.execute,
            "DeleteChangeSet": self.delete,
        }

    def create(self, call: Call) -> Answer:
        name, kind = call.get("StackName"), call.get("ChangeSetType", "UPDATE")
        stack = self._register.find(call.region, name)
        if kind == "IMPORT":
            raise Refused("ValidationError", "the simulator can't import resources")
        if kind == "CREATE":
            if stack is not None and stack.status is not Status.REVIEW_IN_PROGRESS:
                raise Refused("AlreadyExistsException", f"Stack [{name}] already exists and cannot be created again")
            contents = self._register.contents(call, None)
            # API: "If you create a change set for a new stack, CloudFormation creates a stack with a unique stack ID,
            # but no template or resources. The stack will be in the REVIEW_IN_PROGRESS state until you execute the
            # change set."
            stack = stack or self._register.new(call)
        elif stack is None:
            raise Refused("ValidationError", f"Stack [{name}] does not exist")
        else:
            check_free(stack)
            contents = self._register.contents(call, stack)
        if any(each["ChangeSetName"] == call.get("ChangeSetName") for each in stack.change_sets.values()):
            raise Refused(
                "AlreadyExistsException", f"ChangeSet {call.get('ChangeSetName')} cannot be created: it exists"
            )
        found = changes(stack, contents, self._register.region(call.region).place)
        number = hashlib.sha256(f"{stack.id} {self._register.serial()}".encode()).hexdigest()[:32]
        unique = f"{call.get('ChangeSetName')}/{number}"
        id = f"arn:aws:cloudformation:{call.region}:{self._register.account}:changeSet/{unique}"
        empty = kind != "CREATE" and not found and same(stack.contents, contents)
        stack.asked[id] = contents
        stack.change_sets[id] = {
            "ChangeSetId": id,
            "ChangeSetName": call.get("ChangeSetName"),
            "StackId": stack.id,
            "StackName": stack.name,
            "CreationTime": SystemClock().now(),
            "Status": "FAILED" if empty else "CREATE_COMPLETE",
            "StatusReason": EMPTY if empty else None,
            "ExecutionStatus": "UNAVAILABLE" if empty else "AVAILABLE",
            "Tags": [{"Key": key, "Value": value} for key, value in contents.tags.items()],
            "Changes": [_change(each, stack) for each in found],
        }
        return {"Id": id, "StackId": stack.id}

    def describe(self, call: Call) -> Answer:
        _, found = self._asked(call)
        return found

    def list(self, call: Call) -> Answer:
        stack = self._register.named(call)
        return {
            "Summaries": [
                {key: value for key, value in each.items() if key not in ("Changes", "Tags")}
                for each in stack.change_sets.values()
            ]
        }

    def execute(self, call: Call) -> Answer:
        token = call.get("ClientRequestToken", "")
        try:
            stack, found = self._asked(call)
        except Refused:
            if token and any(each.token == token for each in self._register.region(call.region).stacks.values()):
                return None
            raise
        if found["Status"] != "CREATE_COMPLETE":
            raise Refused(
                "InvalidChangeSetStatus",
                f"ChangeSet [{found['ChangeSetId']}] cannot be executed in its current status of [{found['Status']}]",
            )
        if stack.status.busy:
            raise Refused(
                "InvalidChangeSetStatus", f"Stack:{stack.id} is in {stack.status} state and can not be updated."
            )
        contents = stack.asked[found["ChangeSetId"]]
        # API: "CloudFormation deletes all the change sets associated with the stack because they aren't valid for the
        # updated stack."
        stack.change_sets.clear()
        stack.asked.clear()
        stack.token = token
        fresh = stack.status is Status.REVIEW_IN_PROGRESS
        self._register.begin(stack, contents, call, Operation.create if fresh else Operation.update)
        return None

    def delete(self, call: Call) -> Answer:
        try:
            stack, found = self._asked(call)
        except Refused:
            return None
        stack.change_sets.pop(found["ChangeSetId"])
        stack.asked.pop(found["ChangeSetId"])
        return None

    def _asked(self, call: Call) -> tuple[Stack, dict[str, Any]]:
        name = call.get("ChangeSetName")
        for stack in self._register.region(call.region).stacks.values():
            for id, each in stack.change_sets.items():
                if id == name or (each["ChangeSetName"] == name and call.get("StackName") in (stack.name, stack.id)):
                    return stack, each
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")


def changes(stack: Stack, contents: Contents, place: Place) -> tuple[ResourceChange, ...]:
    """What becomes of the stack's resources."""
    old = evaluate(stack.contents.body, values(stack.contents, stack, place)) if stack.contents.text else {}
    return predict(old, evaluate(contents.body, values(contents, stack, place)), Schemas(place.region))


def same(one: Contents, other: Contents) -> bool:
    """What an update without changed resources can still change."""
    outputs = one.body.get("Outputs") == other.body.get("Outputs")
    return outputs and (one.tags, one.parameters, one.notifications) == (
        other.tags,
        other.parameters,
        other.notifications,
    )


def _change(change: ResourceChange, stack: Stack) -> dict[str, Any]:
    there = stack.resources.get(change.logical_id)
    said: dict[str, Any] = {
        "Action": change.action.capitalize(),
        "LogicalResourceId": change.logical_id,
        "ResourceType": change.type,
        "Details": [_detail(each) for each in change.causes],
    }
    if there is not None:
        said["PhysicalResourceId"] = there.id
    if change.action == "modify":
        words = {Replacement.YES: "True", Replacement.MAYBE: "Conditional", Replacement.NO: "False"}
        said["Replacement"] = words[change.replacement]
    if change.retained:
        said["PolicyAction"] = "Retain"
    return {"Type": "Resource", "ResourceChange": said}


def _detail(cause: str) -> dict[str, Any]:
    path, _, rest = cause.partition(": ")
    before, arrow, after = rest.partition(" → ")
    target = {"Attribute": "Properties", "Name": path.partition(".")[0]}
    if arrow:
        target |= {"Path": f"/Properties/{path.replace('.', '/')}", "BeforeValue": before, "AfterValue": after}
    return {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}
