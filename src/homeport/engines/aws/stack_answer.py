"""What CloudFormation answers, as Homeport's models: pure. Used by `cloudformation`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homeport.model.stack import (
    ChangeSet,
    ChangeSetStatus,
    Deployed,
    Drift,
    Replacement,
    ResourceChange,
    StackEvent,
    StackResource,
    Status,
)

Answer = Mapping[str, Any]
EMPTY = ("didn't contain changes", "No updates are to be performed")
"""Only by these words does a change set say that there is nothing to do; its status is FAILED."""
REPLACEMENT = {"True": Replacement.YES, "Conditional": Replacement.MAYBE}


def deployed(said: Answer) -> Deployed:
    return Deployed(
        id=said["StackId"],
        name=said["StackName"],
        status=Status(said["StackStatus"]),
        reason=said.get("StackStatusReason", ""),
        parameters={each["ParameterKey"]: each.get("ParameterValue", "") for each in said.get("Parameters", ())},
        tags={each["Key"]: each["Value"] for each in said.get("Tags", ())},
        outputs={each["OutputKey"]: each.get("OutputValue", "") for each in said.get("Outputs", ())},
        capabilities=tuple(said.get("Capabilities", ())),
        service_role=said.get("RoleARN", ""),
        notifications=tuple(said.get("NotificationARNs", ())),
        termination_protection=bool(said.get("EnableTerminationProtection", False)),
        parent=said.get("ParentId", ""),
        changed_at=said.get("LastUpdatedTime") or said["CreationTime"],
    )


def change_set(said: Answer, changes: Sequence[Answer]) -> ChangeSet:
    """`changes`: those of all pages."""
    resources = [each["ResourceChange"] for each in changes if "ResourceChange" in each]
    return ChangeSet(
        id=said["ChangeSetId"],
        name=said["ChangeSetName"],
        stack=said["StackId"],
        status=_status(said.get("Status", ""), said.get("StatusReason", "")),
        reason=said.get("StatusReason", ""),
        changes=tuple(map(change, resources)),
        tags={each["Key"]: each["Value"] for each in said.get("Tags", ())},
        nested={each["LogicalResourceId"]: each["ChangeSetId"] for each in resources if each.get("ChangeSetId")},
    )


def _status(status: str, reason: str) -> ChangeSetStatus:
    if status.endswith("_COMPLETE"):
        return ChangeSetStatus.READY
    if status == "FAILED":
        return ChangeSetStatus.EMPTY if any(each in reason for each in EMPTY) else ChangeSetStatus.FAILED
    return ChangeSetStatus.PENDING


def change(said: Answer) -> ResourceChange:
    """One resource of a change set."""
    return ResourceChange(
        action=said["Action"].lower(),
        logical_id=said["LogicalResourceId"],
        type=said.get("ResourceType", ""),
        replacement=REPLACEMENT.get(said.get("Replacement", ""), Replacement.NO),
        causes=tuple(dict.fromkeys(_causes(said.get("Details", ())))),
        retained=said.get("PolicyAction", "") in ("Retain", "ReplaceAndRetain"),
    )


def _causes(details: Any) -> Iterator[str]:
    for each in details:
        target = each.get("Target", {})
        path = target.get("Path", "").removeprefix("/Properties/").replace("/", ".") or target.get("Name", "")
        where = path or target.get("Attribute", "")
        before, after = target.get("BeforeValue"), target.get("AfterValue")
        if before is not None or after is not None:
            yield f"{where}: {before or '(none)'} → {after or '(none)'}"
        elif cause := each.get("CausingEntity"):
            yield f"{where}: because of {cause}"
        else:
            yield where


def event(said: Answer) -> StackEvent:
    reason = said.get("ResourceStatusReason", "")
    return StackEvent(
        id=said["EventId"],
        at=said["Timestamp"],
        stack=said["StackId"],
        logical_id=said.get("LogicalResourceId", ""),
        physical_id=said.get("PhysicalResourceId", ""),
        type=said.get("ResourceType", ""),
        status=said.get("ResourceStatus", ""),
        reason=reason,
        token=said.get("ClientRequestToken", ""),
        # "Resource creation cancelled", "Resource update cancelled"
        cancelled=reason.startswith("Resource ") and "cancelled" in reason,
    )


def resource(said: Answer) -> StackResource:
    return StackResource(
        logical_id=said["LogicalResourceId"],
        physical_id=said.get("PhysicalResourceId", ""),
        type=said["ResourceType"],
        status=said["ResourceStatus"],
        reason=said.get("ResourceStatusReason", ""),
    )


def drifted(said: Answer) -> Drift:
    differences = tuple(
        f"{each['PropertyPath'].lstrip('/').replace('/', '.')}: {each['ExpectedValue']} → {each['ActualValue']}"
        for each in said.get("PropertyDifferences", ())
    )
    return Drift(
        logical_id=said["LogicalResourceId"],
        physical_id=said.get("PhysicalResourceId", ""),
        type=said["ResourceType"],
        deleted=said["StackResourceDriftStatus"] == "DELETED",
        differences=differences,
    )
