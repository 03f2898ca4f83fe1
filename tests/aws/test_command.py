"""Run Command: what is sent is carried out on the machines that were meant, and on no other."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.simulation.aws.simulator import Simulator
from tests.aws.world import Stack, template, until


@pytest.fixture(scope="module")
def fleet(running_aws: Simulator) -> Iterator[list[str]]:
    """Ids of four instances."""
    stack = Stack(running_aws, "commanded")
    body = template(user_data="#!/bin/sh\necho up\n", group={"DesiredCapacity": "4", "HealthCheckType": "EC2"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    until(lambda: len(managed(running_aws)) == 4, "four can be sent commands")
    yield managed(running_aws)
    assert stack.delete() == "DELETE_COMPLETE"


def managed(aws: Simulator) -> list[str]:
    said = aws.client("ssm").describe_instance_information()["InstanceInformationList"]
    return sorted(each["InstanceId"] for each in said if each["PingStatus"] == "Online")


def send(aws: Simulator, script: str, **more: Any) -> str:
    asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": [script]}, **more}
    return str(aws.client("ssm").send_command(**asked)["Command"]["CommandId"])


def ended(aws: Simulator, command: str) -> dict[str, Any]:
    """As listed, once it has."""

    def look() -> dict[str, Any]:
        found: dict[str, Any] = aws.client("ssm").list_commands(CommandId=command)["Commands"][0]
        return found if found["Status"] not in ("Pending", "InProgress") else {}

    found: dict[str, Any] = until(look, "the command has ended")
    return found


def states(aws: Simulator, command: str) -> dict[str, str]:
    said = aws.client("ssm").list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    return {each["InstanceId"]: each["StatusDetails"] for each in said}


def test_one_instance_runs_it_with_true_output_and_status(aws: Simulator, fleet: list[str]) -> None:
    command = send(
        aws, 'pwd; echo bad >&2; test -n "$AWS_EC2_METADATA_SERVICE_ENDPOINT" && exit 3', InstanceIds=fleet[:1]
    )
    assert ended(aws, command)["Status"] == "Failed"
    found = aws.client("ssm").get_command_invocation(CommandId=command, InstanceId=fleet[0])
    assert found["ResponseCode"] == 3
    assert found["StandardOutputContent"].strip().endswith(fleet[0])
    assert found["StandardErrorContent"] == "bad\nfailed to run commands: exit status 3"
    assert states(aws, command) == {fleet[0]: "Failed"}
    with pytest.raises(ClientError, match="InvocationDoesNotExist"):
        aws.client("ssm").get_command_invocation(CommandId=command, InstanceId=fleet[1])


def test_tags_choose_and_errors_end_it_within_their_limit(aws: Simulator, fleet: list[str]) -> None:
    everybody = [{"Key": "tag:homeport-app", "Values": ["shop"]}]
    command = send(aws, "echo here", Targets=everybody)
    assert ended(aws, command)["Status"] == "Success"
    assert states(aws, command) == dict.fromkeys(fleet, "Success")
    command = send(aws, "exit 1", Targets=everybody, MaxConcurrency="1", MaxErrors="1")
    assert ended(aws, command)["StatusDetails"] == "RateExceeded"
    assert sorted(states(aws, command).values()) == ["Failed", "Failed", "Terminated", "Terminated"]
    command = send(aws, "true", Targets=[{"Key": "tag:homeport-app", "Values": ["other"]}])
    assert ended(aws, command)["StatusDetails"] == "NoInstancesInTag"


def test_a_script_that_takes_too_long_is_ended_and_one_can_be_cancelled(aws: Simulator, fleet: list[str]) -> None:
    asked = {"commands": ["echo begun; sleep 600"], "executionTimeout": ["3"]}
    command = send(aws, "", InstanceIds=fleet[:1], Parameters=asked)
    assert ended(aws, command)["Status"] in ("TimedOut", "Failed")
    assert states(aws, command) == {fleet[0]: "ExecutionTimedOut"}
    found = aws.client("ssm").get_command_invocation(CommandId=command, InstanceId=fleet[0])
    assert found["StandardOutputContent"] == "begun\n"
    command = send(aws, "sleep 600", InstanceIds=fleet[:1])
    until(lambda: states(aws, command) == {fleet[0]: "InProgress"}, "it runs")
    aws.client("ssm").cancel_command(CommandId=command)
    assert ended(aws, command)["Status"] == "Cancelled"


def test_an_instance_that_is_none_is_refused(aws: Simulator, fleet: list[str]) -> None:
    with pytest.raises(ClientError, match="InvalidInstanceId"):
        send(aws, "true", InstanceIds=["i-0123456789abcdef0"])
    assert managed(aws) == fleet
