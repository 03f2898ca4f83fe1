"""The simulated CloudFormation: what it makes, changes, takes back and deletes is in the services themselves."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.simulation.aws.simulator import Simulator
from homeport.simulation.aws.stack_type import TYPES, Made, Type
from tests.aws.world import Stack, att, ref, resource, template


@pytest.fixture
def stack(aws: Simulator) -> Iterator[Stack]:
    found = Stack(aws, "small")
    yield found
    if any(each["StackName"] == "small" for each in found.cloudformation.describe_stacks()["Stacks"]):
        assert found.delete() == "DELETE_COMPLETE"


def small(**more: Any) -> dict[str, Any]:
    return {"Resources": {"Topic": resource("SNS::Topic"), **more}, "Outputs": {"Arn": {"Value": ref("Topic")}}}


def parameter(value: Any, **more: Any) -> dict[str, Any]:
    return resource("SSM::Parameter", Type="String", Name="/small/value", Value=value, **more)


def said(aws: Simulator) -> str:
    return str(aws.client("ssm").get_parameter(Name="/small/value")["Parameter"]["Value"])


def test_a_whole_world_is_made_and_nothing_of_it_is_left_after_its_deletion(aws: Simulator, stack: Stack) -> None:
    before = inventory(aws)
    body = template(group={"DesiredCapacity": "0"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    there = aws.client("cloudformation").describe_stack_resources(StackName="small")["StackResources"]
    assert {each["LogicalResourceId"] for each in there} == body["Resources"].keys()
    assert all(each["PhysicalResourceId"] and each["ResourceType"] for each in there)
    assert stack.delete() == "DELETE_COMPLETE"
    assert inventory(aws) == before


def inventory(aws: Simulator) -> dict[str, int]:
    """How much there is of what a world consists of."""
    ec2, elb, iam = aws.client("ec2"), aws.client("elbv2"), aws.client("iam")
    return {
        "vpcs": len(ec2.describe_vpcs()["Vpcs"]),
        "subnets": len(ec2.describe_subnets()["Subnets"]),
        "security groups": len(ec2.describe_security_groups()["SecurityGroups"]),
        "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
        "balancers": len(elb.describe_load_balancers()["LoadBalancers"]),
        "target groups": len(elb.describe_target_groups()["TargetGroups"]),
        "groups": len(aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]),
        "roles": len(iam.list_roles()["Roles"]),
        "profiles": len(iam.list_instance_profiles()["InstanceProfiles"]),
    }


def test_a_change_of_the_launch_template_makes_a_version_that_the_group_gets(aws: Simulator, stack: Stack) -> None:
    body = template(group={"DesiredCapacity": "0"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    body["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "t3.medium"
    attributes = body["Resources"]["Targets"]["Properties"]["TargetGroupAttributes"]
    attributes[0]["Value"] = "7"
    changes = stack.change_set(body)["Changes"]
    names = {each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"]["Replacement"] for each in changes}
    assert names["Template"] == names["Targets"] == "False"
    assert stack.apply(body) == "UPDATE_COMPLETE", stack.failures()
    assert stack.output("Version") == "2"
    group = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
    assert group["LaunchTemplate"]["Version"] == "2"
    told = aws.client("elbv2").describe_target_group_attributes(TargetGroupArn=stack.output("Targets"))["Attributes"]
    assert {"Key": "deregistration_delay.timeout_seconds", "Value": "7"} in told


def test_a_create_that_fails_goes_back_and_says_why(aws: Simulator, stack: Stack) -> None:
    topics = len(aws.client("sns").list_topics()["Topics"])
    assert stack.apply(small(Cluster=resource("RDS::DBCluster", DependsOn="Topic")), create=True) == "ROLLBACK_COMPLETE"
    assert stack.failures() == ["Cluster: the simulator can't make resources of the type AWS::RDS::DBCluster"]
    assert len(aws.client("sns").list_topics()["Topics"]) == topics
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        stack.change_set(small())


def test_what_is_made_without_an_id_fails_its_stack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    nameless = Type(create=lambda scene, said: Made(""), delete=lambda scene, id, said: None)
    monkeypatch.setitem(TYPES, "AWS::Test::Nameless", nameless)
    assert stack.apply(small(Thing=resource("Test::Nameless")), create=True) == "ROLLBACK_COMPLETE"
    assert stack.failures() == ["Thing: LookupError: it was made, and nobody knows its id"]


def test_an_update_that_fails_leaves_everything_as_it_was(aws: Simulator, stack: Stack) -> None:
    assert stack.apply(small(Value=parameter("old")), create=True) == "CREATE_COMPLETE", stack.failures()
    bad = small(Value=parameter("new"), Zone=parameter(att("Value", "Nothing"), Description="refused"))
    assert stack.apply(bad) == "UPDATE_ROLLBACK_COMPLETE"
    assert said(aws) == "old"
    assert "Nothing" in stack.failures()[0]
    assert stack.apply(small(Value=parameter("new"))) == "UPDATE_COMPLETE", stack.failures()
    assert said(aws) == "new"


def test_what_goes_out_of_the_template_goes_unless_it_is_retained(aws: Simulator, stack: Stack) -> None:
    kept = {**parameter("kept"), "DeletionPolicy": "Retain"}
    assert stack.apply(small(Value=kept, Other=resource("SNS::Topic")), create=True) == "CREATE_COMPLETE"
    topics = len(aws.client("sns").list_topics()["Topics"])
    assert stack.apply(small()) == "UPDATE_COMPLETE"
    assert said(aws) == "kept"
    assert len(aws.client("sns").list_topics()["Topics"]) == topics - 1
    aws.client("ssm").delete_parameter(Name="/small/value")


def test_a_change_set_without_changes_fails_in_aws_words(stack: Stack) -> None:
    assert stack.apply(small(), create=True) == "CREATE_COMPLETE"
    found = stack.change_set(small())
    assert found["Status"] == "FAILED"
    assert "didn't contain changes" in found["StatusReason"]


def test_capabilities_parameters_and_protection_are_insisted_on(aws: Simulator, stack: Stack) -> None:
    client = aws.client("cloudformation")
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        client.create_stack(StackName="small", TemplateBody='{"Resources": {"Role": {"Type": "AWS::IAM::Role"}}}')
    body = '{"Parameters": {"Size": {"Type": "String"}}, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    with pytest.raises(ClientError, match="must have values"):
        client.create_stack(StackName="small", TemplateBody=body)
    assert stack.apply(small(), create=True) == "CREATE_COMPLETE"
    client.update_termination_protection(StackName="small", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        client.delete_stack(StackName="small")
    client.update_termination_protection(StackName="small", EnableTerminationProtection=False)
