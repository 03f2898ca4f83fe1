"""CloudFormation's API over `stack`: change sets, executions, descriptions. moto's isn't asked: its updates lose
resources, and what it can't make it skips. Registered by `simulator`.

Sentences in quotation marks are AWS's: CloudFormation API Reference (API).
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from homeport.errors import HomeportError
from homeport.model.stack import Replacement, ResourceChange, Status
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.evaluate import evaluate
from homeport.plan.stack.parameter import declared
from homeport.plan.stack.replacement import predict
from homeport.plan.stack.template import parse
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused
from homeport.simulation.aws.stack import Contents, Operation, Place, Stack, values
from homeport.simulation.aws.stack_answer import described, resource_said
from homeport.stacks.schema import Schemas
from homeport.system.clock import SystemClock

LARGEST_INLINE_BYTES = 51_200
EMPTY = "The submitted information didn't contain changes. Submit different information to create a change set."
UPDATABLE = (
    Status.CREATE_COMPLETE, Status.UPDATE_COMPLETE, Status.UPDATE_ROLLBACK_COMPLETE, Status.IMPORT_COMPLETE,
)  # fmt: skip
Client = Callable[[str, str], Any]
"""From service and region to boto3's client of the simulated AWS."""


class Region(Struct):
    place: Place
    stacks: dict[str, Stack]
    """By id, those that were deleted too."""


class CloudFormation:
    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._lock = threading.RLock()
        self._regions: dict[str, Region] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._serial = 0

    def behaviours(self) -> Mapping[str, Behaviour]:
        named: dict[str, Behaviour] = {
            "CreateStack": self.create_stack,
            "UpdateStack": self.update_stack,
            "DeleteStack": self.delete_stack,
            "DescribeStacks": self.describe_stacks,
            "ListStacks": self.list_stacks,
            "GetTemplate": self.get_template,
            "GetStackPolicy": lambda call: {"StackPolicyBody": self._named(call).policy or None},
            "SetStackPolicy": self.set_policy,
            "UpdateTerminationProtection": self.protect,
            "CreateChangeSet": self.create_change_set,
            "DescribeChangeSet": self.describe_change_set,
            "ListChangeSets": self.list_change_sets,
            "ExecuteChangeSet": self.execute_change_set,
            "DeleteChangeSet": self.delete_change_set,
            "DescribeStackEvents": lambda call: {"StackEvents": self._named(call, True).events[::-1]},
            "ListStackResources": self.list_resources,
            "DescribeStackResources": self.describe_resources,
            "ListExports": self.list_exports,
            "ValidateTemplate": self.validate,
        }
        return {name: self._alone(each) for name, each in named.items()}

    def stop(self) -> None:
        """No operation goes on."""
        self._stopped.set()
        for each in self._threads:
            each.join()

    def _alone(self, behaviour: Behaviour) -> Behaviour:
        def locked(call: Call) -> Answer:
            with self._lock:
                return behaviour(call)

        return locked

    # --- stacks

    def create_stack(self, call: Call) -> Answer:
        if self._find(call.region, call.get("StackName")):
            raise Refused("AlreadyExistsException", f"Stack [{call.get('StackName')}] already exists")
        contents = self._contents(call, None)
        stack = self._new(call)
        stack.token = call.get("ClientRequestToken", "")
        stack.protected = bool(call.get("EnableTerminationProtection", False))
        self._begin(stack, contents, call.region, Operation.create)
        return {"StackId": stack.id}

    def update_stack(self, call: Call) -> Answer:
        stack = self._named(call)
        self._check_free(stack)
        contents = self._contents(call, stack)
        if not self._changes(stack, contents, call.region) and _same(stack.contents, contents):
            raise Refused("ValidationError", "No updates are to be performed.")
        stack.token = call.get("ClientRequestToken", "")
        self._begin(stack, contents, call.region, Operation.update)
        return {"StackId": stack.id}

    def delete_stack(self, call: Call) -> Answer:
        stack = self._find(call.region, call.get("StackName"))
        token = call.get("ClientRequestToken", "")
        if stack is None or (token and token == stack.token):
            return None
        if stack.protected:
            # API, UpdateTerminationProtection: "If a user attempts to delete a stack with termination protection
            # enabled, the operation fails and the stack remains unchanged."
            raise Refused(
                "ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status.busy and stack.status is not Status.DELETE_IN_PROGRESS:
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be deleted.")
        self._check_exports(stack, call.region)
        stack.token = token
        stack.change_sets.clear()
        retain = tuple(call.names("RetainResources"))
        self._begin(stack, stack.contents, call.region, lambda operation: operation.delete(retain))
        return None

    def _check_exports(self, stack: Stack, region: str) -> None:
        """API: "You can't delete a stack if another stack references one of its outputs" (Outputs section)."""
        names = {each["ExportName"] for each in stack.outputs if "ExportName" in each}
        for other in self._living(region):
            if other is not stack and (used := sorted(names & other.imports)):
                raise Refused("ValidationError", f"Export {used[0]} cannot be deleted as it is in use by {other.name}")

    def describe_stacks(self, call: Call) -> Answer:
        if call.get("StackName"):
            return {"Stacks": [described(self._named(call, True))]}
        return {"Stacks": [described(each) for each in self._living(call.region)]}

    def list_stacks(self, call: Call) -> Answer:
        wanted = call.names("StackStatusFilter")
        found = [each for each in self._region(call.region).stacks.values() if not wanted or each.status in wanted]
        return {"StackSummaries": [described(each) for each in found]}

    def get_template(self, call: Call) -> Answer:
        return {"TemplateBody": self._named(call, True).contents.text, "StagesAvailable": ["Original", "Processed"]}

    def set_policy(self, call: Call) -> Answer:
        self._named(call).policy = call.get("StackPolicyBody", "")
        return None

    def protect(self, call: Call) -> Answer:
        stack = self._named(call)
        stack.protected = bool(call.get("EnableTerminationProtection"))
        return {"StackId": stack.id}

    def list_resources(self, call: Call) -> Answer:
        stack = self._named(call, True)
        return {"StackResourceSummaries": [resource_said(each) for each in stack.resources.values()]}

    def describe_resources(self, call: Call) -> Answer:
        stack = self._named(call, True)
        found = [each for each in stack.resources.values() if call.get("LogicalResourceId") in (None, each.name)]
        own = {"StackName": stack.name, "StackId": stack.id}
        return {"StackResources": [{**resource_said(each), **own, "Timestamp": each.at} for each in found]}

    def list_exports(self, call: Call) -> Answer:
        found = [
            {"ExportingStackId": stack.id, "Name": each["ExportName"], "Value": each["OutputValue"]}
            for stack in self._living(call.region)
            for each in stack.outputs
            if "ExportName" in each
        ]
        return {"Exports": found}

    def validate(self, call: Call) -> Answer:
        body = self._contents(call, None, check=False).body
        return {"Parameters": [{"ParameterKey": name} for name in declared(body)], "Capabilities": capabilities(body)}

    # --- change sets

    def create_change_set(self, call: Call) -> Answer:
        name, kind = call.get("StackName"), call.get("ChangeSetType", "UPDATE")
        stack = self._find(call.region, name)
        if kind == "IMPORT":
            raise Refused("ValidationError", "the simulator can't import resources")
        if kind == "CREATE":
            if stack is not None and stack.status is not Status.REVIEW_IN_PROGRESS:
                raise Refused("AlreadyExistsException", f"Stack [{name}] already exists and cannot be created again")
            contents = self._contents(call, None)
            # API: "If you create a change set for a new stack, CloudFormation creates a stack with a unique stack ID,
            # but no template or resources. The stack will be in the REVIEW_IN_PROGRESS state until you execute the
            # change set."
            stack = stack or self._new(call)
        elif stack is None:
            raise Refused("ValidationError", f"Stack [{name}] does not exist")
        else:
            self._check_free(stack)
            contents = self._contents(call, stack)
        if any(each["ChangeSetName"] == call.get("ChangeSetName") for each in stack.change_sets.values()):
            raise Refused(
                "AlreadyExistsException", f"ChangeSet {call.get('ChangeSetName')} cannot be created: it exists"
            )
        changes = self._changes(stack, contents, call.region)
        self._serial += 1
        number = hashlib.sha256(f"{stack.id} {self._serial}".encode()).hexdigest()[:32]
        id = f"arn:aws:cloudformation:{call.region}:{self._account}:changeSet/{call.get('ChangeSetName')}/{number}"
        empty = kind != "CREATE" and not changes and _same(stack.contents, contents)
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
            "Changes": [_change(each, stack) for each in changes],
        }
        return {"Id": id, "StackId": stack.id}

    def describe_change_set(self, call: Call) -> Answer:
        _, found = self._asked(call)
        return found

    def list_change_sets(self, call: Call) -> Answer:
        stack = self._named(call)
        return {
            "Summaries": [
                {key: value for key, value in each.items() if key != "Changes"} for each in stack.change_sets.values()
            ]
        }

    def execute_change_set(self, call: Call) -> Answer:
        token = call.get("ClientRequestToken", "")
        try:
            stack, found = self._asked(call)
        except Refused:
            if token and any(each.token == token for each in self._region(call.region).stacks.values()):
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
        self._begin(stack, contents, call.region, Operation.create if fresh else Operation.update)
        return None

    def delete_change_set(self, call: Call) -> Answer:
        try:
            stack, found = self._asked(call)
        except Refused:
            return None
        stack.change_sets.pop(found["ChangeSetId"])
        stack.asked.pop(found["ChangeSetId"])
        return None

    def _asked(self, call: Call) -> tuple[Stack, dict[str, Any]]:
        name = call.get("ChangeSetName")
        for stack in self._region(call.region).stacks.values():
            for id, each in stack.change_sets.items():
                if id == name or (each["ChangeSetName"] == name and call.get("StackName") in (stack.name, stack.id)):
                    return stack, each
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")

    def _changes(self, stack: Stack, contents: Contents, region: str) -> tuple[ResourceChange, ...]:
        place = self._region(region).place
        old = evaluate(stack.contents.body, values(stack.contents, stack, place)) if stack.contents.text else {}
        return predict(old, evaluate(contents.body, values(contents, stack, place)), Schemas(region))

    # --- behind it

    def _begin(self, stack: Stack, contents: Contents, region: str, act: Callable[[Operation], None]) -> None:
        operation = Operation(stack, contents, self._region(region).place, self._stopped)
        busy = "DELETE" if act not in (Operation.create, Operation.update) else act.__name__.upper()
        # told at once, so that nobody begins another one before the thread has
        stack.status = Status(f"{busy}_IN_PROGRESS")
        thread = threading.Thread(target=act, args=(operation,), name=f"stack {stack.name}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _region(self, name: str) -> Region:
        if name not in self._regions:
            zones = tuple(f"{name}{letter}" for letter in "abc")

            def exports() -> Mapping[str, str]:
                found = [each for stack in self._living(name) for each in stack.outputs if "ExportName" in each]
                return {each["ExportName"]: each["OutputValue"] for each in found}

            client = self._client
            place = Place(lambda service: client(service, name), self._account, name, zones, exports, Schemas(name))
            self._regions[name] = Region(place, {})
        return self._regions[name]

    def _living(self, region: str) -> list[Stack]:
        return [each for each in self._region(region).stacks.values() if each.status is not Status.DELETE_COMPLETE]

    def _find(self, region: str, name: str) -> Stack | None:
        return next((each for each in self._living(region) if name in (each.name, each.id)), None)

    def _named(self, call: Call, deleted: bool = False) -> Stack:
        """`deleted`: one that was deleted is found by its id."""
        name = call.get("StackName")
        found = self._find(call.region, name) or (self._region(call.region).stacks.get(name) if deleted else None)
        if found is None:
            raise Refused("ValidationError", f"Stack with id {name} does not exist")
        return found

    def _new(self, call: Call) -> Stack:
        name = call.get("StackName")
        self._serial += 1
        number = hashlib.sha256(f"{name} {self._serial}".encode()).hexdigest()
        unique = f"{number[:8]}-{number[8:12]}-11f0-{number[12:16]}-{number[16:28]}"
        id = f"arn:aws:cloudformation:{call.region}:{self._account}:stack/{name}/{unique}"
        stack = Stack(id=id, name=name, status=Status.REVIEW_IN_PROGRESS, created_at=SystemClock().now())
        stack.record("REVIEW_IN_PROGRESS", reason="User Initiated")
        self._region(call.region).stacks[id] = stack
        return stack

    def _check_free(self, stack: Stack) -> None:
        if stack.status not in UPDATABLE:
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _contents(self, call: Call, old: Stack | None, *, check: bool = True) -> Contents:
        """What is asked for. Raises `Refused` as CloudFormation does before it begins."""
        before = old.contents if old else Contents()
        text = before.text if call.get("UsePreviousTemplate") else self._text(call)
        try:
            body = parse(text, "Template format error").body
        except HomeportError as error:
            raise Refused("ValidationError", error.message) from error
        given = {}
        for each in call.get("Parameters") or ():
            name = each["ParameterKey"]
            kept = each.get("UsePreviousValue")
            given[name] = before.parameters.get(name, "") if kept else each.get("ParameterValue", "")
        found = Contents(
            text=text,
            body=body,
            parameters=given,
            tags={each["Key"]: each["Value"] for each in call.get("Tags") or ()},
            capabilities=tuple(call.names("Capabilities")),
            role=call.get("RoleARN", before.role),
            notifications=tuple(call.names("NotificationARNs")),
        )
        if check:
            _check_parameters(found)
            self._look_up(found, call.region)
        return found

    def _text(self, call: Call) -> str:
        text = call.get("TemplateBody")
        if text is not None:
            if len(text.encode()) > LARGEST_INLINE_BYTES:
                # API, TemplateBody: "The minimum length is 1 byte, and the maximum length is 51,200 bytes."
                raise Refused(
                    "ValidationError",
                    "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
                    "Member must have length less than or equal to 51200",
                )
            return str(text)
        host, _, key = str(call.get("TemplateURL", "")).removeprefix("https://").partition("/")
        bucket = host.partition(".s3.")[0]
        try:
            got = self._client("s3", call.region).get_object(Bucket=bucket, Key=key)
        except Exception as error:
            raise Refused("ValidationError", f"S3 error: {error}") from error
        return str(got["Body"].read().decode())

    def _look_up(self, contents: Contents, region: str) -> None:
        """Parameters of SSM types get the values that they name."""
        for name, each in declared(contents.body).items():
            if each.looked_up:
                wanted = contents.parameters.get(name, each.default or "")
                try:
                    got = self._client("ssm", region).get_parameter(Name=wanted, WithDecryption=True)
                except Exception as error:
                    raise Refused(
                        "ValidationError",
                        f"Unable to fetch parameters [{wanted}] from parameter store for this account.",
                    ) from error
                contents.looked_up[name] = got["Parameter"]["Value"]


def _check_parameters(contents: Contents) -> None:
    known = declared(contents.body)
    if extra := sorted(contents.parameters.keys() - known.keys()):
        raise Refused("ValidationError", f"Parameters: [{', '.join(extra)}] do not exist in the template")
    missing = [name for name, each in known.items() if each.default is None and name not in contents.parameters]
    if missing:
        raise Refused("ValidationError", f"Parameters: [{', '.join(missing)}] must have values")
    named = "CAPABILITY_NAMED_IAM" in contents.capabilities
    lacking = [
        each
        for each in capabilities(contents.body)
        if each not in contents.capabilities and not (named and each == "CAPABILITY_IAM")
    ]
    if lacking:
        # API: "If you don't specify either of these capabilities, CloudFormation returns an InsufficientCapabilities
        # error."
        raise Refused("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(lacking)}]")


def _same(one: Contents, other: Contents) -> bool:
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
