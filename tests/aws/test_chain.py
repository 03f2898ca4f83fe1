"""An environment's whole life under load, one command after the other: no request fails, instances may
what they need and nothing else, and nothing is left but what `down` says it keeps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit
from tests.aws import environment
from tests.aws import operator_role as operator
from tests.aws.world import until
from tests.e2e.person import Person
from tests.load import load

SOON = environment.FILE.replace("min = 1, desired = 2, max = 4", "min = 1, desired = 3, max = 15").replace(
    "[deploy]", "[deploy]\nmax_unavailable = '34%'"
)
SOON += f'boundary = "{operator.BOUNDARY}"\n'
SOON, FILE = (SOON.replace('grace = "60s"', f'grace = "{each}s"') for each in (4, 20))
"""Fifteen that start at once need their time; who never gets well needn't be waited for."""
WEB = environment.WEB
RATE = 25
"""Requests per second: the instances, the balancer and the load share the machine."""


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    """Who may what `homeport operator` lets them, and nothing else. Nobody was there before."""
    ssm, identity = aws.client("ssm"), "/homeport/plain/production/identity"
    if identity in [each["Name"] for each in ssm.describe_parameters()["Parameters"]]:
        ssm.delete_parameter(Name=identity)
    with operator.role(aws, environment.person_of(aws, tmp_path, FILE)) as found, environment.leaving(found):
        yield found


def inventory(aws: Simulator) -> dict[str, Any]:
    """What there is of all that an environment consists of."""
    ec2, elb, iam = aws.client("ec2"), aws.client("elbv2"), aws.client("iam")
    instances = [one for each in ec2.describe_instances()["Reservations"] for one in each["Instances"]]
    stacks = aws.client("cloudformation").describe_stacks()["Stacks"]
    return {
        "instances": [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"],
        "machines": aws.hypervisor.booted(),
        "vpcs": [each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]],
        "subnets": len(ec2.describe_subnets()["Subnets"]),
        "gateways": len(ec2.describe_internet_gateways()["InternetGateways"]),
        "security groups": len(ec2.describe_security_groups()["SecurityGroups"]),
        "launch templates": len(ec2.describe_launch_templates()["LaunchTemplates"]),
        "balancers": len(elb.describe_load_balancers()["LoadBalancers"]),
        "target groups": len(elb.describe_target_groups()["TargetGroups"]),
        "groups": groups(aws),
        "roles": [each["RoleName"] for each in iam.list_roles()["Roles"]],
        "profiles": len(iam.list_instance_profiles()["InstanceProfiles"]),
        "stacks": sorted({each["StackName"] for each in stacks} - {"homeport-plain--store"}),
    }


def groups(aws: Simulator) -> list[str]:
    found = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return [each["AutoScalingGroupName"] for each in found]


def members(aws: Simulator) -> list[str]:
    (group,) = aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return [each["InstanceId"] for each in group["Instances"] if each["LifecycleState"] == "InService"]


def releases(person: Person) -> dict[str, str]:
    """By instance, what each runs."""
    return {each["id"]: each["release"] for each in person.instances()}


def healthy(aws: Simulator) -> list[str]:
    elb = aws.client("elbv2")
    (group,) = elb.describe_target_groups()["TargetGroups"]
    said = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    return [each["Target"]["Id"] for each in said if each["TargetHealth"]["State"] == "healthy"]


def reboot(aws: Simulator, id: str) -> None:
    """As the image's units do it. Nobody calls it ill meanwhile."""
    scaling, elb, (group,) = aws.client("autoscaling"), aws.client("elbv2"), groups(aws)
    scaling.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["HealthCheck"])
    machine = aws.hypervisor.machine(id)
    assert machine is not None
    job = machine.run(("/bin/sh", "-c", "homeport-agent stop; homeport-agent boot"), machine.console)
    assert job.ended.wait(60)
    assert job.status == 0, machine.console.read_text()
    (served,) = elb.describe_target_groups()["TargetGroups"]
    anew = {"TargetGroupArn": served["TargetGroupArn"], "Targets": [{"Id": id}]}
    elb.deregister_targets(**anew)  # probes that failed, or will, on their way since before, count no more
    elb.register_targets(**anew)
    until(lambda: len(healthy(aws)) == 3, "it serves again")
    scaling.resume_processes(AutoScalingGroupName=group, ScalingProcesses=["HealthCheck"])


def refused_at_first(person: Person) -> None:
    """What is made is shown before; a first release that never gets healthy leaves nothing running."""
    commit(person.app, {"Procfile": "web: echo going under; exit 3\n", "homeport.toml": SOON})
    refused = person("up", code=2)
    assert "nobody is here to confirm it" in refused
    assert "AWS::AutoScaling::AutoScalingGroup" in refused, "what would be made is shown"
    assert "; an hour costs 3 XTS, 1 to 15\nand one load balancer: 0.5 XTS an hour" in refused, "and what it costs"
    assert any(
        "AWS::AutoScaling::AutoScalingGroup" in each for each in person.document("up", code=2)["error"]["details"]
    )
    error = person.document("up", "--yes", code=6)["error"]
    assert any("going under" in line for line in error["details"]), error
    gone = (each["id"] for each in person.document("ps", "--all")["instances"])
    said = (person("logs", "--instance", id_) for id_ in gone)
    assert any("web | going under" in each and "homeport-agent | " in each for each in said), "with its own words"
    until(lambda: person.instances() == [], "nothing is launched any more")


def look_after(person: Person) -> None:
    """What else is done by those who keep it well."""
    person("maintenance", "on")
    person("maintenance", "off")
    person("standby", "enter", person.instances()[0]["id"])
    person("standby", "exit", next(each["id"] for each in person.instances() if each["state"] == "Standby"))
    person("fleet", "suspend", "Launch")
    person("fleet", "resume", "Launch")
    checks = {each["name"]: each for each in person.document("doctor")["checks"]}
    assert [each for each in checks.values() if not each["ok"]] == []
    assert {"credentials", "clock", "rights", "bucket", "stacks", "launch templates", "agents"} <= checks.keys()


def only_look(aws: Simulator, viewer: Person) -> None:
    """With the role for those who only look: all that asks no instance; of the rest, what is lacking is said."""
    assert viewer.instances()
    for words in ("status", "events", "release list", "deployment list", "why web"):
        viewer(*words.split())
    assert aws.rights.denied == []
    checks = {each["name"]: each for each in viewer.document("doctor", code=6)["checks"]}
    assert {name for name, each in checks.items() if not each["ok"]} == {"rights", "agents"}
    assert "ssm:SendCommand on " in checks["rights"]["found"]
    assert "aren't allowed to: User is not authorized to perform: ssm:SendCommand" in viewer("logs", code=2)
    aws.rights.denied.clear()
    assert operator.unused(aws, operator.VIEWER, "Look") == [], "what is granted is needed"


def test_no_request_fails_from_the_first_deploy_to_the_end(aws: Simulator, person: Person) -> None:
    before = inventory(aws)
    refused_at_first(person)
    commit(person.app, {"Procfile": WEB, "homeport.toml": FILE})
    assert person.document("up", "--yes")["release"] == "r2"
    first = person.instances()
    assert [(each["state"], each["release"], each["check"]) for each in first] == [("InService", "r2", "healthy")] * 3
    assert len({each["zone"] for each in first}) == 3
    (role,) = set(inventory(aws)["roles"]) - set(before["roles"])
    person("config", "set", "--secret", "TOKEN=hidden")
    url = environment.public(aws, person)
    reboot(aws, members(aws)[0])

    with load(url, rate=RATE, timeout=30) as running:
        commit(person.app, {"Procfile": f"{WEB}release: echo once\n", "new.txt": "x"})
        echoed = [each for each in person("deploy").splitlines() if "r4 of plain serves on" in each]
        assert {each.split(":")[0].strip() for each in echoed} == {each["id"] for each in first}, "what each said"
        assert releases(person) == {each["id"]: "r4" for each in first}, "in place"
        killed = members(aws)[0]
        aws.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=killed, ShouldDecrementDesiredCapacity=False
        )
        until(lambda: killed not in (seen := healthy(aws)) and len(seen) == 3, "another took its place")
        scaled = person.document("scale", "web=15", "--timeout", "10m")
        assert scaled["groups"] == [{"app": "plain", "group": "web", "desired": 15}]
        fifteen = members(aws)
        assert len(fifteen) == 15
        error = person.document("config", "set", "APP_HEALTH=500", code=6)["error"]
        assert "isn't healthy after" in error["message"]
        assert any("500" in line for line in error["details"]), "with the instance's own words"
        assert releases(person) == dict.fromkeys(fifteen, "r4"), "in place, and back"
        assert person.document("rollback")["release"] == "r6"
        keys = {name: value for name, value in person.environ.items() if name.startswith("AWS_")}
        other = Person(person.app, person.home.with_name("other"), environ=keys)
        assert releases(other) == dict.fromkeys(fifteen, "r6"), "whoever has the file and credentials sees it"
        person("scale", "web=2")
        until(lambda: len(healthy(aws)) == 2, "those that are too many have left")
    assert running.report.failures == []
    assert running.report.sent > 100
    assert "listens on" in person("logs", "-n", "20")
    assert "has no instance 'web-1'" in person("logs", "--instance", "web-1", code=3)

    assert aws.rights.unused(role) == [], "what is granted is needed"
    look_after(person)
    only_look(aws, Person(person.app, person.home.with_name("viewer"), environ=aws.variables_of(operator.VIEWER)))
    said = other("down", "--yes")
    assert aws.rights.denied == []
    assert operator.unused(aws, operator.ROLE, "Look", "Commands") == [], "what is granted is needed"
    assert "its releases are kept in s3://homeport-plain-" in said
    until(lambda: not aws.hypervisor.booted(), "no machine is left")
    assert inventory(aws) == before
    names = [each["Name"] for each in aws.client("ssm").describe_parameters()["Parameters"]]
    assert [each for each in names if "plain" in each] == ["/homeport/plain/production/identity"]
    assert "nothing to do" in person("down", "--yes")
