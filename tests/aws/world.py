"""The simulated AWS for tests: a template with a whole small world in it, and questions to it."""

import json
import textwrap
import time
from collections.abc import Callable, Mapping
from typing import Any

from homeport.simulation.aws.rights import AGENT
from homeport.simulation.aws.simulator import Simulator

PACE = 10.0
PATIENCE_SECONDS = 180
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SERVE = """\
    #!/bin/sh
    ask() { curl -sf -H "X-aws-ec2-metadata-token: $token" "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/meta-data/$1"; }
    token=$(curl -sf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" \\
        "$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest/api/token")
    mkdir -p www && cd www && ask instance-id >index.html
    echo "serving on $(ask local-ipv4)"
    exec python3 -m http.server -b "$(ask local-ipv4)" 8080
"""
IMAGE = "ami-12c6146b"
"""One of those that moto knows in every region."""


def until(condition: Callable[[], Any], what: str) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)
    return value


def policy(*actions: str, on: str = "*", **more: Any) -> dict[str, Any]:
    statement = {"Sid": "Only", "Effect": "Allow", "Action": list(actions), "Resource": on, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def att(name: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, attribute]}


def resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def template(
    *, user_data: str = SERVE, group: Mapping[str, Any] | None = None, target: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Network, balancer, and one group of servers that answer with their ids. `group`, `target`: properties of theirs
    that differ."""
    places = [ref(f"Net{zone}") for zone in "ABC"]
    subnets = {
        f"Net{zone}": resource(
            "EC2::Subnet",
            VpcId=ref("Vpc"),
            CidrBlock={"Fn::Select": [number, {"Fn::Cidr": [att("Vpc", "CidrBlock"), 3, 8]}]},
            AvailabilityZone={"Fn::Select": [number, {"Fn::GetAZs": ""}]},
        )
        for number, zone in enumerate("ABC")
    }
    data = {
        "ImageId": IMAGE,
        "InstanceType": "t3.small",
        "IamInstanceProfile": {"Arn": att("Profile", "Arn")},
        "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        "UserData": {"Fn::Base64": textwrap.dedent(user_data)},
    }
    resources = {
        "Vpc": resource("EC2::VPC", CidrBlock="10.0.0.0/16"),
        **subnets,
        "Role": resource(
            "IAM::Role",
            AssumeRolePolicyDocument=TRUST,
            Policies=[{"PolicyName": "agent", "PolicyDocument": policy(*AGENT)}],
        ),
        "Profile": resource("IAM::InstanceProfile", Roles=[ref("Role")]),
        "Balancer": resource("ElasticLoadBalancingV2::LoadBalancer", Subnets=places),
        "Listener": resource(
            "ElasticLoadBalancingV2::Listener",
            LoadBalancerArn=ref("Balancer"),
            Port=80,
            Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": ref("Targets")}],
        ),
        "Targets": resource(
            "ElasticLoadBalancingV2::TargetGroup",
            **{
                "VpcId": ref("Vpc"),
                "Port": 8080,
                "Protocol": "HTTP",
                "HealthCheckIntervalSeconds": 5,
                "TargetGroupAttributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}],
                **(target or {}),
            },
        ),
        "Template": resource("EC2::LaunchTemplate", LaunchTemplateData=data),
        "Group": resource(
            "AutoScaling::AutoScalingGroup",
            **{
                "MinSize": "0",
                "MaxSize": "9",
                "DesiredCapacity": "3",
                "VPCZoneIdentifier": places,
                "TargetGroupARNs": [ref("Targets")],
                "LaunchTemplate": {
                    "LaunchTemplateId": ref("Template"),
                    "Version": att("Template", "LatestVersionNumber"),
                },
                "HealthCheckType": "ELB",
                "HealthCheckGracePeriod": 300,
                "Tags": [{"Key": "homeport-app", "Value": "shop", "PropagateAtLaunch": True}],
                **(group or {}),
            },
        ),
    }
    resources["Group"]["DependsOn"] = "Listener"
    outputs = {
        "Group": {"Value": ref("Group")},
        "Targets": {"Value": ref("Targets")},
        "Dns": {"Value": att("Balancer", "DNSName")},
        "Version": {"Value": att("Template", "LatestVersionNumber")},
    }
    return {"Resources": resources, "Outputs": outputs}


class Stack:
    """One stack of the simulator, brought about by change sets as Homeport does."""

    def __init__(self, aws: Simulator, name: str) -> None:
        self.aws = aws
        self.name = name
        self.cloudformation = aws.client("cloudformation")
        self.number = 0

    def apply(self, body: Mapping[str, Any], *, create: bool = False) -> str:
        """The status in which it comes to rest."""
        made = self.change_set(body, create=create)
        self.cloudformation.execute_change_set(ChangeSetName=made["ChangeSetId"])
        return self.settled()

    def change_set(self, body: Mapping[str, Any], *, create: bool = False) -> dict[str, Any]:
        self.number += 1
        made = self.cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"change-{self.number}",
            ChangeSetType="CREATE" if create else "UPDATE",
            TemplateBody=json.dumps(body),
            Capabilities=["CAPABILITY_IAM"],
        )
        found: dict[str, Any] = self.cloudformation.describe_change_set(ChangeSetName=made["Id"])
        return found

    def described(self, id: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.cloudformation.describe_stacks(StackName=id or self.name)["Stacks"][0]
        return found

    def settled(self, id: str = "") -> str:
        return str(until(lambda: self._rest(id), f"{self.name} comes to rest"))

    def _rest(self, id: str) -> str:
        status = str(self.described(id)["StackStatus"])
        return "" if status.endswith("_IN_PROGRESS") else status

    def output(self, name: str) -> str:
        found = {each["OutputKey"]: each["OutputValue"] for each in self.described()["Outputs"]}
        return str(found[name])

    def delete(self) -> str:
        id = self.described()["StackId"]
        self.cloudformation.delete_stack(StackName=self.name)
        return self.settled(id)

    def failures(self) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason')}" for each in events
                if each["ResourceStatus"].endswith("_FAILED")]  # fmt: skip

    # --- the group in it

    def members(self) -> list[dict[str, Any]]:
        scaling = self.aws.client("autoscaling")
        found = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.output("Group")])
        members: list[dict[str, Any]] = found["AutoScalingGroups"][0]["Instances"]
        return members

    def in_service(self) -> list[str]:
        return [each["InstanceId"] for each in self.members() if each["LifecycleState"] == "InService"]

    def health(self) -> dict[str, str]:
        """Instance → state."""
        said = self.aws.client("elbv2").describe_target_health(TargetGroupArn=self.output("Targets"))
        return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in said["TargetHealthDescriptions"]}

    def healthy(self) -> list[str]:
        return [id for id, state in self.health().items() if state == "healthy"]

    def causes(self) -> list[str]:
        said = self.aws.client("autoscaling").describe_scaling_activities()["Activities"]
        return [f"{each['Description']} {each['StatusCode']} {each['Cause']}" for each in said]
