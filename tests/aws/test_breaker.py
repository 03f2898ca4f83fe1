"""Launches that fail again and again while nothing is deployed: the group is kept from making more, what there is
stays, `why` says what each came to, and a person lets it go on."""

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.service import Application, Knock
from homeport.simulation.aws.simulator import Simulator
from tests.aws.environment import FILE, asked_all_the_time, leaving, person_of, public
from tests.aws.world import until
from tests.e2e.person import Person

BREAKER = """[groups.web.breaker]
failures = 2
soon = "1s"
backoff = "10m"
longest = "10m"
"""
TEXT = FILE.replace("[deploy]", f"{BREAKER}[deploy]")
NO_CAPACITY = "We currently do not have sufficient t3.small capacity in the Availability Zone you requested"
BROKEN = "#!/bin/sh\necho homeport-agent: no such program\nexit 127\n"


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    with leaving(person_of(aws, tmp_path, TEXT)) as found:
        try:
            yield found
        finally:
            aws.door.weather = None


@contextmanager
def driving(person: Person, *words: str) -> Iterator[None]:
    """Somebody's command goes on meanwhile, and is killed."""
    terminal = person.begin(*words)
    try:
        yield
    finally:
        terminal.kill()
        terminal.communicate()


def no_capacity(knock: Knock, application: Application) -> Application:
    if knock.operation == "RunInstances":
        return knock.refusal("InsufficientInstanceCapacity", NO_CAPACITY, 400)
    return application


def group(aws: Simulator) -> dict[str, Any]:
    (found,) = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return dict(found)


def suspended(aws: Simulator) -> set[str]:
    return {each["ProcessName"] for each in group(aws)["SuspendedProcesses"]}


def with_user_data(aws: Simulator, text: str) -> None:
    """What instances boot with from now on; and nobody waits long for them."""
    hook = {"LifecycleHookName": "homeport-launching", "HeartbeatTimeout": 60}
    aws.client("autoscaling").put_lifecycle_hook(AutoScalingGroupName=group(aws)["AutoScalingGroupName"], **hook)
    ec2, template = aws.client("ec2"), group(aws)["LaunchTemplate"]
    id, version = template["LaunchTemplateId"], template["Version"]
    found = ec2.describe_launch_template_versions(LaunchTemplateId=id, Versions=[version])["LaunchTemplateVersions"]
    data = found[0]["LaunchTemplateData"] | {"UserData": base64.b64encode(text.encode()).decode()}
    made = ec2.create_launch_template_version(LaunchTemplateId=id, LaunchTemplateData=data)["LaunchTemplateVersion"]
    point(aws, str(made["VersionNumber"]))


def point(aws: Simulator, version: str) -> None:
    said = group(aws)
    template = {"LaunchTemplateId": said["LaunchTemplate"]["LaunchTemplateId"], "Version": version}
    aws.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=said["AutoScalingGroupName"], LaunchTemplate=template
    )


def test_a_launch_loop_is_stopped_explained_and_let_go_on(aws: Simulator, person: Person) -> None:
    person("up", "--yes")
    first = [each["id"] for each in person.instances()]
    assert {each["ProtectedFromScaleIn"] for each in group(aws)["Instances"]} == {True}
    with asked_all_the_time(public(aws, person)) as wrong:
        # EC2 lends nothing, and somebody wants one more
        aws.door.weather = no_capacity
        with driving(person, "scale", "web=3"):
            until(lambda: suspended(aws) == {"Launch", "ReplaceUnhealthy"}, "the breaker opens")
            # told after it is done
            until(lambda: re.search(r"breaker open after [2-9] failed rounds of r1", person("events")), "it is told")
        assert {each["InstanceId"] for each in group(aws)["Instances"]} == set(first), "what there is stays"
        said = person("status")
        # its group may have tried once more before it was told not to
        assert re.search(r"breaker of r1 open: [2-9] rounds of launches failed", said)
        assert NO_CAPACITY in said
        assert "homeport breaker reset web" in said
        assert "1 of r1 missing: breaker open" in person("why", "web")
        # what people suspend is theirs, and the breaker's own isn't theirs to resume
        person("fleet", "suspend", "AZRebalance", "web")
        person("fleet", "resume", "Launch", "web")
        assert suspended(aws) == {"AZRebalance", "Launch", "ReplaceUnhealthy"}
        # let go on, with a machine whose user data doesn't come as far as the agent
        good = group(aws)["LaunchTemplate"]["Version"]
        with_user_data(aws, BROKEN)
        aws.door.weather = None
        person("breaker", "reset", "web")
        assert suspended(aws) == {"AZRebalance"}
        (broken,) = until(lambda: {each["InstanceId"] for each in group(aws)["Instances"]} - set(first), "one comes")
        until(lambda: broken not in {each["InstanceId"] for each in group(aws)["Instances"]}, "it is given up")
        point(aws, good)
        told = person("why", broken)
        assert "its launching hook gave it up" in told
        assert "Heartbeat Timeout" in told
        assert "homeport-agent: no such program" in told, "the console is all there is"
    assert wrong == []

    # one that is ended by hand
    aws.client("ec2").terminate_instances(InstanceIds=first[:1])
    until(lambda: first[0] not in {each["InstanceId"] for each in group(aws)["Instances"]}, "its group notices")
    assert "EC2 health check indicating it has been terminated or stopped" in person("why", first[0])
