"""Servers: booted from the user data of their launch template, with metadata of their own, kept by groups."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from homeport.simulation.aws.machine import Machine
from homeport.simulation.aws.network import DEVICES, NAME, Bridge, network
from homeport.simulation.aws.simulator import Simulator
from homeport.system import process
from tests.aws.world import SERVE, Stack, template, until


@pytest.fixture
def stack(aws: Simulator) -> Iterator[Stack]:
    found = Stack(aws, "fleet")
    yield found
    if any(each["StackName"] == "fleet" for each in found.cloudformation.describe_stacks()["Stacks"]):
        assert found.delete() == "DELETE_COMPLETE", found.failures()
    until(lambda: not aws.hypervisor.booted(), "no machine is left")


HOOK = {"LifecycleHookName": "ready", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
LEAVE = {"LifecycleHookName": "leave", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}


def console(aws: Simulator, id: str) -> str:
    said = aws.client("ec2").get_console_output(InstanceId=id).get("Output", "")
    return base64.b64decode(said).decode() if "\n" not in said else str(said)


def test_instances_serve_heal_and_follow_the_capacity(aws: Simulator, stack: Stack) -> None:
    assert stack.apply(template(), create=True) == "CREATE_COMPLETE", stack.failures()
    first = until(lambda: len(seen := stack.healthy()) == 3 and seen, "three are healthy")
    assert {each["AvailabilityZone"] for each in stack.members()} == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}
    (seen,) = aws.client("ec2").describe_instances(InstanceIds=[min(first)])["Reservations"][0]["Instances"]
    assert f"serving on {seen['PrivateIpAddress']}" in console(aws, min(first))
    scaling, group = aws.client("autoscaling"), stack.output("Group")

    aws.hypervisor.crash(min(first))
    until(lambda: len(seen := stack.healthy()) == 3 and min(first) not in seen, "another one took its place")
    # EC2 says that it has stopped, or its target group that it is ill: whoever is asked first
    assert any("health check" in each for each in stack.causes()), stack.causes()

    with pytest.raises(ClientError, match="above max value 9"):
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=10)
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=5)
    until(lambda: len(stack.healthy()) == 5, "five are healthy")
    protected = stack.in_service()[:2]
    scaling.set_instance_protection(AutoScalingGroupName=group, InstanceIds=protected, ProtectedFromScaleIn=True)
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    until(lambda: "draining" in stack.health().values(), "those that are too many drain")
    until(lambda: sorted(stack.in_service()) == sorted(protected) == sorted(stack.healthy()), "the protected are left")
    assert any("shrinking the capacity from 5 to 4" in each for each in stack.causes())
    scaling.set_instance_protection(AutoScalingGroupName=group, InstanceIds=protected, ProtectedFromScaleIn=False)


def test_an_ill_target_is_replaced_unless_that_is_suspended(aws: Simulator, stack: Stack) -> None:
    body = template(group={"DesiredCapacity": "0", "HealthCheckGracePeriod": 20}, target={"UnhealthyThresholdCount": 2})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    scaling, group = aws.client("autoscaling"), stack.output("Group")
    scaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["ReplaceUnhealthy"])
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
    (id,) = until(stack.healthy, "one is healthy")
    machine = aws.hypervisor.machine(id)
    assert machine is not None
    job = machine.run(("/bin/sh", "-c", "rm -r www"), machine.console)
    assert job.ended.wait(20)
    until(lambda: stack.health()[id] == "unhealthy", "its probes fail")
    until(lambda: stack.members()[0]["HealthStatus"] == "Unhealthy", "the group knows")
    assert stack.in_service() == [id]
    scaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=["ReplaceUnhealthy"])
    until(lambda: id not in stack.in_service(), "it leaves")
    # a busy machine may take longer to boot the next one than the first was given
    scaling.update_auto_scaling_group(AutoScalingGroupName=group, HealthCheckGracePeriod=900)
    until(lambda: (seen := stack.healthy()) and id not in seen, "another one serves")
    assert any("ELB system health check failure" in each for each in stack.causes())


def test_hooks_hold_an_instance_until_somebody_completes_them(aws: Simulator, stack: Stack) -> None:
    hooks = [{**HOOK, "HeartbeatTimeout": 600, "DefaultResult": "ABANDON"}, {**LEAVE, "HeartbeatTimeout": 600}]
    body = template(group={"DesiredCapacity": "1", "LifecycleHookSpecificationList": hooks})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    scaling, group = aws.client("autoscaling"), stack.output("Group")

    def only(state: str) -> str:
        return str(
            until(lambda: [each["InstanceId"] for each in stack.members() if each["LifecycleState"] == state], state)[0]
        )

    def complete(hook: str, id: str, result: str) -> None:
        scaling.complete_lifecycle_action(
            AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=id, LifecycleActionResult=result
        )

    first = only("Pending:Wait")
    assert stack.health() == {}
    complete("ready", first, "ABANDON")
    second = until(
        lambda: next((each["InstanceId"] for each in stack.members() if each["InstanceId"] != first), ""), "next"
    )
    assert any("was abandoned" in str(each.get("StatusMessage")) for each in
               scaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"])  # fmt: skip
    only("Pending:Wait")
    complete("ready", second, "CONTINUE")
    assert until(stack.healthy, "it serves") == [second]
    with pytest.raises(ClientError, match="No active Lifecycle Action found"):
        complete("ready", second, "CONTINUE")
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    assert only("Terminating:Wait") == second
    assert aws.hypervisor.machine(second) is not None
    complete("leave", second, "CONTINUE")
    until(lambda: not stack.members(), "it has gone")


def test_a_hook_that_nobody_completes_ends_by_its_default(aws: Simulator, stack: Stack) -> None:
    hooks = [{**HOOK, "HeartbeatTimeout": 30, "DefaultResult": "CONTINUE"}]
    body = template(group={"DesiredCapacity": "1", "LifecycleHookSpecificationList": hooks})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    (id,) = until(stack.in_service, "the time is over")
    said = [each for each in aws.hurried if each.startswith(f"{id}: ")]
    assert ["within its 30 s, which are 3 s at --pace 10;" in each for each in said] == [True], "and why is said"


def test_standby_is_out_of_traffic_and_comes_back(aws: Simulator, stack: Stack) -> None:
    assert stack.apply(template(group={"DesiredCapacity": "1"}), create=True) == "CREATE_COMPLETE", stack.failures()
    (id,) = until(stack.healthy, "one is healthy")
    scaling, group = aws.client("autoscaling"), stack.output("Group")
    scaling.enter_standby(AutoScalingGroupName=group, InstanceIds=[id], ShouldDecrementDesiredCapacity=True)
    assert [each["LifecycleState"] for each in stack.members()] == ["Standby"]
    until(lambda: not stack.health(), "it has drained")
    assert aws.hypervisor.machine(id) is not None
    scaling.exit_standby(AutoScalingGroupName=group, InstanceIds=[id])
    assert until(stack.healthy, "it serves again") == [id]


def test_launch_can_be_suspended(aws: Simulator, stack: Stack) -> None:
    assert stack.apply(template(group={"DesiredCapacity": "0"}), create=True) == "CREATE_COMPLETE", stack.failures()
    scaling, group = aws.client("autoscaling"), stack.output("Group")
    scaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch"])
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
    aws.scaling.tick()
    assert stack.members() == []
    scaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=["Launch"])
    until(stack.members, "it is launched")


ASK = """\
#!/bin/sh
root=$AWS_EC2_METADATA_SERVICE_ENDPOINT/latest
curl -s -o /dev/null -w "without a token: %{http_code}\\n" $root/meta-data/instance-id
token=$(curl -s -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" $root/api/token)
ask() { curl -s -H "X-aws-ec2-metadata-token: $token" "$root/$1"; }
echo "tag: $(ask meta-data/tags/instance/homeport-app)"
echo "group: $(ask meta-data/tags/instance/aws:autoscaling:groupName)"
echo "state: $(ask meta-data/autoscaling/target-lifecycle-state)"
echo "zone: $(ask meta-data/placement/availability-zone)"
role=$(ask meta-data/iam/security-credentials/)
echo "role: $role"
ask meta-data/iam/security-credentials/$role | grep -o '"AccessKeyId": "ASIA'
ask dynamic/instance-identity/document | grep -o '"region": "[^"]*"'
"""


def test_metadata_want_a_token_and_tell_tags_and_credentials(aws: Simulator, stack: Stack) -> None:
    body = template(user_data=ASK, group={"DesiredCapacity": "1", "HealthCheckType": "EC2"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    (id,) = until(stack.in_service, "it is in service")
    text = until(lambda: (found := console(aws, id)).count("region") and found, "it has said all")
    assert "without a token: 401" in text
    assert "tag: shop\n" in text
    assert f"group: {stack.output('Group')}\n" in text
    assert "state: InService\n" in text
    assert "zone: eu-west-1" in text
    assert "role: fleet-Role" in text
    assert '"AccessKeyId": "ASIA' in text
    assert '"region": "eu-west-1"' in text


def test_a_bridge_keeps_its_address_whoever_joins_it(tmp_path: Path) -> None:
    """Else whoever asked for it a moment before sends to a port of somebody else's."""
    found, machines = network(), []
    device = DEVICES / f"{NAME}{found.address.split('.')[2]}" / "address"
    try:
        before = device.read_text() if isinstance(found, Bridge) else ""
        for number in range(3):
            machines.append(Machine(tmp_path / str(number), {}, found, found.take()))
            assert not before or device.read_text() == before
        for machine in machines:
            machine.shut_down()
            assert machine.console.read_text() == "", "it ends without a word where nothing ran"
    finally:
        for machine in machines:
            machine.power_off()
        found.close()


def test_nothing_of_an_instance_outlives_it(aws: Simulator, stack: Stack) -> None:
    away = "(trap '' TERM; setsid sleep 4242 &); "
    body = template(user_data=SERVE.replace("    exec", f"    {away}exec"), group={"DesiredCapacity": "1"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    until(sleepers, "it has started something that doesn't end by itself")
    aws.client("autoscaling").set_desired_capacity(AutoScalingGroupName=stack.output("Group"), DesiredCapacity=0)
    until(lambda: not sleepers(), "it is gone")


def sleepers() -> list[int]:
    found = []
    for entry in os.scandir(process.PROC):
        if entry.name.isdigit():
            try:
                line = Path(entry.path, "cmdline").read_bytes()
            except OSError:
                continue
            if line == b"sleep\x004242\x00":
                found.append(int(entry.name))
    return found


def test_an_instance_that_cannot_be_launched_is_told_in_the_activities(aws: Simulator, stack: Stack) -> None:
    body = template(user_data="#!/bin/sh\n# " + "long " * 4000, group={"DesiredCapacity": "1"})
    assert stack.apply(body, create=True) == "CREATE_COMPLETE", stack.failures()
    scaling = aws.client("autoscaling")
    said = until(lambda: scaling.describe_scaling_activities()["Activities"], "an activity")
    assert said[0]["StatusCode"] == "Failed"
    assert "16384 bytes" in said[0]["StatusMessage"]
