"""The policies of `homeport operator`: what they don't allow, and AWS's own lists of what resource types need. That
commands need them, and no more: `test_chain`."""

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from homeport.model.platform import Aws, Place
from homeport.plan import aws_stacks
from homeport.plan.aws_stacks import LONGEST_ROLE, SHIPPED
from homeport.plan.platform_name import LONGEST_NAME
from homeport.plan.stack.template import parse
from homeport.simulation.aws.simulator import Simulator
from homeport.simulation.aws.wish import Wish
from homeport.stacks.shipping import templates
from tests.aws import operator_role as operator
from tests.aws.environment import person_of
from tests.aws.operator_role import document, listed, statements
from tests.aws.world import TRUST, Stack, policy, resource

KEYS = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")
WRITTEN = {"AWS::ElasticLoadBalancingV2::ListenerRule", "AWS::Route53::RecordSet"}
"""Types in templates that aren't shipped."""


def test_an_operator_gets_neither_beyond_the_platform_nor_beyond_the_boundary(aws: Simulator, tmp_path: Path) -> None:
    administrator = person_of(aws, tmp_path)
    made = {"RoleName": "mine", "Path": "/homeport/plain/", "AssumeRolePolicyDocument": json.dumps(TRUST)}
    with operator.role(aws, administrator) as person:
        assert "stands already" in administrator("operator", "--yes")
        session = boto3.Session(*(person.environ[f"AWS_{each}"] for each in KEYS), region_name=aws.region)

        def mine(service: str) -> Any:
            return session.client(service, endpoint_url=aws.endpoint_url)

        for call in (
            lambda: mine("ec2").create_vpc(CidrBlock="10.0.0.0/16"),
            lambda: mine("iam").create_role(**made, PermissionsBoundary=operator.BOUNDARY),
            lambda: mine("iam").delete_role_permissions_boundary(RoleName=operator.ROLE),
            lambda: mine("s3").create_bucket(Bucket="other"),
            lambda: mine("cloudformation").delete_stack(StackName=operator.STACK),
            lambda: mine("ssm").get_parameter(Name="/homeport/other/production/identity"),
            lambda: mine("ssm").send_command(DocumentName="AWS-RunShellScript", InstanceIds=["i-1"]),
        ):
            with pytest.raises(ClientError, match=r"not authorized to perform: \w+:\w+ on resource: "):
                call()
        for platform in ("plain", "plain-two", "plain2", "plai"):
            permitted = [aws.rights.granted(operator.ROLE, each) for each in wishes(platform)]
            assert permitted == [platform == "plain"] * len(permitted), platform
        aws.rights.used.pop(operator.ROLE)  # nobody asked for it
        stack = Stack(aws, "homeport-plain--mine")
        stack.cloudformation = mine("cloudformation")
        all_ = [{"PolicyName": "all", "PolicyDocument": policy("*")}]
        role = resource("IAM::Role", Path=made["Path"], AssumeRolePolicyDocument=TRUST, Policies=all_)
        asked = stack.cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName="homeport-mine",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps({"Resources": {"Mine": role}}),
            Capabilities=["CAPABILITY_IAM"],
        )
        stack.cloudformation.execute_change_set(ChangeSetName=asked["Id"])
        assert stack.settled() == "ROLLBACK_COMPLETE"
        assert any("iam:CreateRole" in each for each in stack.failures())
        assert stack.delete() == "DELETE_COMPLETE"
    aws.rights.denied.clear()


def wishes(platform: str) -> list[Wish]:
    """What its operators may, of things as Homeport makes them."""
    place = Place(
        platform=platform, name="production", engine="aws", aws=Aws(account="123456789012", region="eu-west-1")
    )
    owner, stack, pool = aws_stacks.owner(place), aws_stacks.stack_name(place, "edge"), aws_stacks.pool_name
    group = f"autoScalingGroup:1:autoScalingGroupName/{pool(place, platform, 'web')}"
    formation = {"aws:CalledVia": ["cloudformation.amazonaws.com"]}
    balancing, mine = "elasticloadbalancing", {"aws:ResourceTag/homeport-platform": [platform]}
    project = {"aws:ResourceTag/homeport:project": [owner]}

    def wish(action: str, on: str, context: Mapping[str, list[str]] = {}) -> Wish:
        service, own = action.partition(":")[0], "" if action.startswith("iam:") else "eu-west-1"
        return Wish(action, f"arn:aws:{service}:{own}:123456789012:{on}", dict(context))

    return [
        wish("cloudformation:CreateChangeSet", f"stack/{stack}/1"),
        wish("cloudformation:ExecuteChangeSet", f"stack/{stack}/1"),
        wish("cloudformation:DeleteStack", f"stack/{aws_stacks.store_name(place)}/1"),
        wish("autoscaling:SetDesiredCapacity", group),
        wish("autoscaling:DeleteAutoScalingGroup", group, formation),
        wish("ssm:GetParameter", f"parameter{aws_stacks.identity_path(place)}"),
        wish("ssm:DeleteParameter", f"parameter{aws_stacks.identity_path(place)}", formation),
        Wish("ssm:SendCommand", "arn:aws:ec2:eu-west-1:123456789012:instance/i-1", mine),
        Wish("s3:GetObject", f"arn:aws:s3:::{aws_stacks.bucket(place)}/one"),
        wish("ec2:TerminateInstances", "instance/i-1", mine),
        wish("ec2:CreateVpc", "vpc/vpc-1", formation | {"aws:RequestTag/homeport:project": [owner]}),
        wish("ec2:DeleteVpc", "vpc/vpc-1", formation | project),
        wish(f"{balancing}:CreateRule", "listener/app/one", project),
        wish(f"{balancing}:DeleteRule", "listener-rule/app/one", {"aws:ResourceTag/homeport-maintenance": [platform]}),
        wish(f"{balancing}:DeleteLoadBalancer", "loadbalancer/app/one", formation | project),
        wish("iam:PassRole", f"role/homeport/{platform}/one", {"iam:PassedToService": ["ec2.amazonaws.com"]}),
        wish("iam:DeleteRole", f"role/homeport/{platform}/one", formation),
    ]


# --- what CloudFormation's handlers call, as AWS's schemas of resource types list it


def schema(kind: str) -> Mapping[str, Any]:
    spec = find_spec("cfnlint")
    assert spec is not None
    assert spec.origin is not None
    directory = Path(spec.origin).parent / "data" / "schemas"
    digest = json.loads((directory / "providers" / "eu-west-1.json").read_bytes())[kind]
    found: Mapping[str, Any] = json.loads((directory / "resources" / f"{digest}.json").read_bytes())
    return found


def called() -> set[str]:
    """Patterns of actions, for all types that an environment is made of."""
    bodies = [parse(text, name).body for name, text in templates().items()]
    kinds = {str(each["Type"]) for body in bodies for each in body["Resources"].values()}
    assert len(bodies) == len(SHIPPED)
    said = [schema(kind) for kind in kinds | WRITTEN]
    handled = {each for one in said for handler in one["handlers"].values() for each in handler["permissions"]}
    return handled | {each for one in said for each in one.get("tagging", {}).get("permissions", ())}


LEFT_OUT = {
    "autoscaling:(Attach|Detach)(LoadBalancers|TrafficSources)": "groups have target groups",
    "autoscaling:(En|Dis)ableMetricsCollection|cloudwatch:.*": "no metrics of groups, no alarms",
    "autoscaling:(Put|Delete)NotificationConfiguration": "nobody is notified",
    "autoscaling:(Start|Cancel)InstanceRefresh|autoscaling:(Suspend|Resume)Processes": "no update policies",
    "cognito-idp:.*|managed-fleets:.*|s3tables:.*|vpc-lattice:.*": "of services that no template has",
    "ec2:Get.*|ssm:Get\\*": "of the image, which Homeport looks up itself",
    "ec2:(Attach|Detach)VpnGateway|ec2:CreateVpcEncryptionControl|ec2:ModifyVpcTenancy": "no such thing",
    "ec2:(Associate|Disassociate)SubnetCidrBlock": "no IPv6",
    "ec2:ReplaceRouteTableAssociation": "a subnet keeps its table",
    "ec2:UpdateSecurityGroupRuleDescriptions.*": "they are written into the template",
    "elasticloadbalancing:(Register|Deregister)Targets": "groups do it",
    "elasticloadbalancing:(ModifyCapacityReservation|ModifyIpPools|SetIpAddressType)": "no such thing",
    "iam:DeleteRolePermissionsBoundary": "nobody gets beyond it",
    "iam:(Attach|Detach)RolePolicy": "roles have policies of their own",
    "iam:List(InstanceProfiles|Roles|RoleTags)|s3:ListAllMyBuckets|ssm:DescribeParameters": "to list a whole account",
    "route53:(ChangeTagsForResource|(Create|Delete)QueryLoggingConfig|UpdateHostedZoneFeatures)": "no such thing",
    "route53:DisassociateVPCFromHostedZone": "a zone has one network",
    "s3:Delete.*": "the bucket stays",
    "s3:ListBucket": "the policy for commands has it",
    "s3:PutBucket(Abac|Acl|CORS|Logging|Notification|ObjectLockConfiguration|Replication|Website)": "no such thing",
    "s3:Put(Accelerate|Analytics|IntelligentTiering|Inventory|Metrics|ObjectLock|Replication)Configuration": "neither",
    "s3:PutObjectAcl|s3:UntagResource|s3:(Create|Update)BucketMetadata.*": "nor these",
}
"""Of what handlers call: for properties that no template has."""


def granted(policy: str) -> set[str]:
    return {action for _, action in statements(policy)}


def test_what_stacks_need_is_granted_and_nothing_more() -> None:
    needed, given = called(), granted("Network") | granted("Groups") | {"iam:PassRole"}
    assert [each for each in sorted(given) if not any(meet(each, one) for one in needed)] == []
    missing = {each for each in needed if not any(fnmatchcase(each, one) for one in given)}
    assert [each for each in sorted(missing) if not any(re.fullmatch(one, each) for one in LEFT_OUT)] == []
    assert [one for one in LEFT_OUT if not any(re.fullmatch(one, each) for each in missing)] == []


def meet(one: str, other: str) -> bool:
    return fnmatchcase(one, other) or fnmatchcase(other, one)


def test_the_boundary_lets_instances_do_what_their_role_says() -> None:
    mine = {"Platform": "shop", "Bucket": "store", "App": "shop", "Environment": "production", "Group": "web"}
    mine |= {"AWS::Partition": "aws", "AWS::Region": "eu-west-1", "AWS::AccountId": "1" * 12, "NameZone": "Z1"}
    mine |= {"AWS::StackName": "homeport-shop--production-web", "Identity": "/homeport/shop/production/identity"}
    role = parse(templates()["pool"], "pool").body["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]
    bounds = filled(document("Boundary"), mine)["Statement"]

    def within(action: str, on: str) -> bool:
        return any(
            any(fnmatchcase(action, each) for each in listed(bound["Action"]))
            and any(fnmatchcase(on, each) for each in listed(bound["Resource"]))
            for bound in bounds
        )

    for said in role["Statement"]:
        grant = filled({**(said["Fn::If"][1] if "Fn::If" in said else said), "Condition": {}}, mine)
        for action, on in product(listed(grant["Action"]), listed(grant["Resource"])):
            assert within(action, on), f"{action} on {on}"
            others = on.replace("shop", "shop-two")
            assert action.startswith("s3:") or others == on or not within(action, others), f"{action} on {others}"


@pytest.mark.parametrize("policy", ["Boundary", "Look", "Commands", "Network", "Groups"])
def test_policies_are_not_too_long_for_the_longest_names(policy: str) -> None:
    """IAM quotas: "The size of each managed policy can't exceed 6,144 characters"; "IAM doesn't count white space"."""
    longest = {
        "Platform": "p" * LONGEST_NAME,
        "Bucket": "b" * 63,
        "Image": "/" + "i" * 40,
        "Boundary": "a" * 110,
        "Zone": "Z" * 22,
        "Name": "n" * LONGEST_ROLE,
        "Viewer": "v" * LONGEST_ROLE,
    }
    longest |= {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
    assert len("".join(json.dumps(filled(document(policy), longest)).split())) <= 6144


def filled(value: Any, refs: Mapping[str, str]) -> Any:
    match value:
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: refs[found[1]], text)
        case {"Ref": str(name)}:
            return refs[name]
        case dict():
            return {key: filled(each, refs) for key, each in value.items()}
        case list():
            return [filled(each, refs) for each in value]
    return value
