"""Somebody who types commands with the role that `homeport operator` makes, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from homeport.plan.stack.template import parse
from homeport.simulation.aws.simulator import Simulator
from homeport.stacks.shipping import operator_template
from tests.aws.world import until
from tests.e2e.person import Person

ROLE = "homeport-plain-eu-west-1-operator"
VIEWER = "homeport-plain-eu-west-1-viewer"
BOUNDARY = f"arn:aws:iam::123456789012:policy/{ROLE}-boundary"
STACK = "homeport-operator-plain"
RARE = {
    "Look ec2:DescribeAddresses": "groups with addresses of their own",
    "Look ec2:DescribeSubnets": "networks that are there",
    "End ec2:GetConsoleOutput": "of an instance that never begins its task: 10 minutes after its launch",
    "CancelCommand ssm:CancelCommand": "of a command that an instance never takes up",
    "MarkRelease ec2:CreateTags": "a release that changes nothing for an instance",
    "Look autoscaling:DescribeScalingActivities": "of a group that is seen with fewer instances than it wants",
    "Look route53:ListResourceRecordSets": "environments with private names",
    "Look route53:ListHostedZonesByName": "environments with a hosted zone for hosts",
    "ForgetNames route53:ChangeResourceRecordSets": "of instances that went without a word",
}
"""What the policies for commands grant, and this life of an environment doesn't need."""


@contextmanager
def role(aws: Simulator, administrator: Person) -> Iterator[Person]:
    """Who has it, at the administrator's app. The file has to name `BOUNDARY`. Afterwards nothing of it is left."""
    assert administrator.document("operator", "--yes")["boundary"] == BOUNDARY
    formation = aws.client("cloudformation")
    try:
        home = administrator.home.with_name("operator")
        yield Person(administrator.app, home, environ=aws.variables_of(ROLE))
    finally:
        formation.delete_stack(StackName=STACK)
        until(
            lambda: STACK not in [each["StackName"] for each in formation.describe_stacks()["Stacks"]],
            "the role has gone",
        )


def unused(aws: Simulator, role: str, *policies: str) -> list[str]:
    """What these policies grant the role, and nobody needed."""
    own = {f"{sid} {action}" for policy in policies for sid, action in statements(policy)}
    return [each for each in aws.rights.unused(role) if each in own and each not in RARE]


def document(policy: str) -> dict[str, Any]:
    """A policy, as the template has it."""
    found: dict[str, Any] = parse(operator_template(), "operator").body["Resources"][policy]["Properties"]
    return dict(found["PolicyDocument"])


def statements(policy: str) -> list[tuple[str, str]]:
    """Sid and action, of each grant."""
    return [(each["Sid"], one) for each in document(policy)["Statement"] for one in listed(each["Action"])]


def listed(said: Any) -> list[str]:
    return [said] if isinstance(said, str) else list(said)
