"""Stacks and resources of the simulated CloudFormation as its API describes them. Called by `cloudformation`."""

from typing import Any

from homeport.plan.stack.parameter import declared
from homeport.simulation.aws.stack_model import Resource, Stack

MASK = "****"


def described(stack: Stack) -> dict[str, Any]:
    contents = stack.contents
    known = declared(contents.body)
    # "ResolvedValue: … The value that corresponds to a SSM parameter key" (API, Parameter)
    parameters = [
        {
            "ParameterKey": name,
            "ParameterValue": MASK if each.hidden else contents.parameters.get(name, each.default),
            "ResolvedValue": contents.looked_up.get(name),
        }
        for name, each in known.items()
    ]
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": contents.body.get("Description"),
        "Parameters": parameters,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "StackStatus": str(stack.status),
        "StackStatusReason": stack.reason or None,
        "DisableRollback": False,
        "NotificationARNs": list(contents.notifications),
        "Capabilities": list(contents.capabilities),
        "Outputs": stack.outputs,
        "RoleARN": contents.role or None,
        "Tags": [{"Key": name, "Value": value} for name, value in contents.tags.items()],
        "EnableTerminationProtection": stack.protected,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def resource_said(resource: Resource) -> dict[str, Any]:
    return {
        "LogicalResourceId": resource.name,
        "PhysicalResourceId": resource.id,
        "ResourceType": resource.type,
        "ResourceStatus": resource.status,
        "LastUpdatedTimestamp": resource.at,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }
