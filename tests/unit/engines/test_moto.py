"""The shipped example applied on AWS as moto plays it, as far as moto can be trusted: what is created, outputs,
parameters, tags. And that the watch over moto sees what moto leaves out."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from homeport.engines.aws.cloud import AwsCloud
from homeport.model.stack import Status, Target
from homeport.model.stack_plan import Action
from homeport.stacks.apply import Applier, Outcome, Wishes
from homeport.stacks.planner import Planner, Tools
from homeport.stacks.project import Project
from homeport.system.clock import SystemClock, pause
from homeport.testing.cloudformation import ACCOUNT
from tests.bucket import Server
from tests.certificates import certificate
from tests.watched import Watched

EXAMPLE = Path(__file__).parents[3] / "examples/stacks/stacks"
REGION = "eu-west-1"
TARGET = Target(ACCOUNT, REGION)
NESTED = "AWS::CloudFormation::Stack"


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


@pytest.fixture
def planner(cloud: AwsCloud, tmp_path: Path) -> Callable[[], Planner]:
    """Of the example, in moto's account; its bucket, image and certificate are there."""
    shutil.copytree(EXAMPLE, tmp_path / "stacks")
    settings = tmp_path / "stacks/config.yaml"
    settings.write_text(settings.read_text().replace("222222222222", ACCOUNT))
    client("s3").create_bucket(Bucket="site-templates", CreateBucketConfiguration={"LocationConstraint": REGION})
    machine = client("ec2").run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    client("ec2").create_image(InstanceId=machine, Name="site-1")
    pair = certificate(tmp_path, "www.example.com")
    files = {"Certificate": Path(pair.certificate).read_bytes(), "PrivateKey": Path(pair.key).read_bytes()}
    client("acm").import_certificate(**files)

    def encryption() -> Any:
        raise AssertionError("nothing in it is encrypted")

    tools = Tools(cloud=lambda: cloud, encryption=encryption, environ={})
    return lambda: Planner(Project(tmp_path / "stacks"), tools)


def applied(planner: Planner, clock: SystemClock) -> Outcome:
    plan = planner.plan(("staging/site",))
    assert plan.problems == ()
    (result,) = Applier(planner, clock, pause, lambda id, what: None).apply(plan, Wishes())
    assert result.error is None
    return result.outcome


def test_the_example_stands_and_goes(planner: Callable[[], Planner], cloud: AwsCloud) -> None:
    clock = SystemClock()
    assert applied(planner(), clock) is Outcome.DONE
    formation = cloud.cloudformation(TARGET)
    made = formation.describe("staging-site")
    assert made is not None
    assert made.status is Status.CREATE_COMPLETE
    assert (made.tags["owner"], made.tags["homeport:stack"]) == ("web", "staging/site")
    assert (made.parameters["Environment"], made.parameters["InstanceType"]) == ("staging", "t4g.micro")
    assert made.outputs["Address"].endswith(".elb.amazonaws.com")

    nested = {each.logical_id: each.physical_id for each in formation.resources(made.id) if each.type == NESTED}
    assert len(nested) == 14
    core = formation.describe(nested["Core"])
    web = formation.describe(nested["Web"])
    assert core is not None
    assert web is not None
    assert web.parameters["Vpc"] == core.outputs["Vpc"]
    subnets = {each["SubnetId"] for each in client("ec2").describe_subnets()["Subnets"]}
    assert set(core.outputs["PublicSubnets"].split(",")) <= subnets
    groups = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert len(groups) == 9
    assert all(each["Instances"] for each in groups)

    assert [each.action for each in planner().plan(("staging/site",)).stacks] == [Action.NONE]
    going = planner()
    going.removing = frozenset({"staging/site"})
    assert applied(going, clock) is Outcome.DONE
    assert formation.describe("staging-site") is None


TOPIC = "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}\nOutputs: {Name: {Value: !GetAtt Topic.TopicName}}\n"
OUTER = """
Resources:
  In: {Type: "AWS::CloudFormation::Stack", Properties: {TemplateURL: "https://kit.s3.eu-west-1.amazonaws.com/t"}}
  Copy: {Type: "AWS::SNS::Topic", Properties: {DisplayName: !GetAtt In.Outputs.Name}}
"""
CIDR = """
Resources:
  Vpc: {Type: "AWS::EC2::VPC", Properties: {CidrBlock: !Select [1, !Cidr ["10.0.0.0/16", 4, 12]]}}
Outputs: {Block: {Value: !GetAtt Vpc.CidrBlock}}
"""


def outputs(formation: Any, stack: str) -> dict[str, str]:
    found = formation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", ())
    return {each["OutputKey"]: each["OutputValue"] for each in found}


def nested_outputs(formation: Any) -> bool:
    formation.create_stack(StackName="outer", TemplateBody=OUTER)
    return any(each["Attributes"]["DisplayName"].startswith("outer-In-") for each in topics())


def cidr(formation: Any) -> bool:
    formation.create_stack(StackName="cidr", TemplateBody=CIDR)
    return outputs(formation, "cidr") == {"Block": "10.0.16.0/20"}


def outputs_of_change_sets(formation: Any) -> bool:
    formation.create_change_set(StackName="asked", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=TOPIC)
    formation.execute_change_set(StackName="asked", ChangeSetName="c")
    return bool(outputs(formation, "asked").get("Name"))


def topics() -> list[Any]:
    sns = client("sns")
    return [sns.get_topic_attributes(TopicArn=each["TopicArn"]) for each in sns.list_topics()["Topics"]]


PATCHES = (nested_outputs, cidr, outputs_of_change_sets)


def holds(patch: Callable[[Any], bool], server: Server, formation: Any) -> bool:
    """Whether the server, as new, does what the patch is for."""
    assert server.ask("POST", "/moto-api/reset")[0] == 200
    where = b"<LocationConstraint>eu-west-1</LocationConstraint>"
    where = b"<CreateBucketConfiguration>" + where + b"</CreateBucketConfiguration>"
    for path, body in (("/kit", where), ("/kit/t", TOPIC.encode())):
        assert server.ask("PUT", path, body)[0] == 200
    try:
        return patch(formation)
    except (ClientError, ResponseParserError):
        return False


def test_every_patch_of_moto_is_needed(server: Watched, keys: Callable[[str], None], tmp_path: Path) -> None:
    alone = Server(tmp_path / "log")
    try:
        for which, expected in ((server, True), (alone, False)):
            keys(which.url)
            formation = AwsCloud(attempts=1).client("cloudformation", TARGET)
            assert {patch.__name__: holds(patch, which, formation) for patch in PATCHES} == {
                patch.__name__: expected for patch in PATCHES
            }
    finally:
        alone.stop()


def test_what_moto_leaves_out_is_seen(server: Watched, keys: Callable[[str], None]) -> None:
    keys(server.url)
    template = "Resources: {%s: {Type: 'AWS::%s'}, Topic: {Type: 'AWS::SNS::Topic'}}"
    for name, type in (("a", "Glue::Crawler"), ("b", "Glue::Crawler"), ("c", "CloudWatch::Alarm")):
        client("cloudformation").create_stack(StackName=name, TemplateBody=template % ("It", type))
    assert server.complaints == Counter({"AWS::Glue::Crawler": 2})
    server.forgive()
