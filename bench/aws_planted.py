"""Servers for the simulated AWS that are there, and well, without being anywhere: as many as one likes. What Homeport
asks of them, and what it gets told, goes through the simulator as ever; used by `aws_calls`, before there is a
simulator."""

from typing import Any

from homeport.plan.aws_stacks import PORT
from homeport.simulation.aws.balancer import Balancer
from homeport.simulation.aws.command import Commands
from homeport.simulation.aws.command_run import Runner
from homeport.simulation.aws.ground import AwsGround
from homeport.simulation.aws.hypervisor import Hypervisor
from homeport.simulation.aws.inventory import Inventory
from homeport.simulation.aws.scaling_loop import Turn
from homeport.simulation.aws.scaling_model import Group, Member
from homeport.simulation.aws.service import Answer, Call, Passed
from homeport.simulation.aws.simulator import Simulator
from homeport.simulation.aws.target import Targets
from homeport.system.clock import SystemClock

RELEASE = "homeport-release"


class Planted:
    """`release`: what whoever boots finds. Moto isn't asked for them: each question would take it seconds."""

    def __init__(self) -> None:
        self.release = "r1"
        self.instances: dict[str, dict[str, Any]] = {}

    def replace(self) -> None:
        """Whatever would boot, probe or route does so no more, in any simulator of this process."""
        for kind, name, instead in (
            (AwsGround, "launch", self._launch),
            (AwsGround, "terminate", lambda _, ids: [self.instances.pop(each, None) for each in ids]),
            (Inventory, "instances", lambda _: dict(self.instances)),
            (Turn, "_hooked", lambda *_: "CONTINUE"),
            (Targets, "tick", _probe),
            (Targets, "health", _health),
            (Commands, "_managed", lambda _: list(self.instances)),
            (Runner, "_carry_out", self._carry_out),
            (Hypervisor, "tick", lambda _: None),
            (Balancer, "tick", lambda _: None),
        ):
            assert hasattr(kind, name), f"{kind.__name__} has no {name} any more"
            setattr(kind, name, instead if not hasattr(instead, "__self__") else _method(instead))

    def answer(self, aws: Simulator) -> None:
        """For EC2."""
        aws.door.register("ec2", {"DescribeInstances": self._describe, "CreateTags": self._tag})

    def _launch(self, ground: Any, group: Group, subnet: str, count: int) -> list[Member]:
        found = []
        own = {key: each["Value"] for key, each in group.tags.items() if each["PropagateAtLaunch"]}
        asked = ground._templates.request(ground._templates.version(group.template), own, subnet)
        (said,) = [each["Tags"] for each in asked["TagSpecifications"] if each["ResourceType"] == "instance"]
        tags = [*said, {"Key": RELEASE, "Value": self.release}]
        for _ in range(count):
            number = len(self.instances) + 1
            while (id := f"i-{number:017x}") in self.instances:
                number += 1
            self.instances[id] = {
                "InstanceId": id,
                "InstanceType": "t3.small",
                "State": {"Code": 16, "Name": "running"},
                "PrivateIpAddress": f"10.0.{number // 250}.{number % 250 + 1}",
                "LaunchTime": SystemClock().now(),
                "Tags": tags,
            }
            found.append(
                Member(
                    id=id,
                    zone=ground.zone(subnet),
                    type="t3.small",
                    template=dict(group.template),
                    protected=group.protect_new,
                    since=ground._clock.monotonic(),
                    launched_at=SystemClock().now(),
                )
            )
        return found

    def _carry_out(self, runner: Runner, asked: Any) -> None:
        release = asked.script.strip().rpartition("/")[2]
        if release.startswith("r"):
            self.release = release
            for id in asked.invocations:
                self._say(id, {RELEASE: release})
        for each in asked.invocations.values():
            runner._finish(each, "Success", "Success", 0)

    def _describe(self, call: Call) -> Answer:
        chosen = list(self.instances.values())
        for each in call.get("Filters") or ():
            name, values = each["Name"], each["Values"]
            chosen = [one for one in chosen if _fits(one, name, values)]
        return {"Reservations": [{"ReservationId": "r-1", "Instances": chosen}] if chosen else []}

    def _tag(self, call: Call) -> Answer:
        ids = call.names("Resources")
        if not set(ids) <= set(self.instances):
            raise Passed
        for id in ids:
            self._say(id, {each["Key"]: each["Value"] for each in call.get("Tags")})
        return None

    def _say(self, id: str, tags: dict[str, str]) -> None:
        known = {each["Key"]: each["Value"] for each in self.instances[id]["Tags"]}
        self.instances[id]["Tags"] = [{"Key": key, "Value": value} for key, value in {**known, **tags}.items()]


def _method(bound: Any) -> Any:
    """A function of a class that calls a method of ours, with its object first."""
    return lambda *positional, **named: bound(*positional, **named)


def _fits(instance: dict[str, Any], name: str, values: list[str]) -> bool:
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return any(each["Key"] == key and each["Value"] in values for each in instance["Tags"])
    if name == "instance-state-name":
        return instance["State"]["Name"] in values
    if name == "instance-id":
        return instance["InstanceId"] in values
    raise Passed


def _probe(targets: Any) -> None:
    """All are well, but those that drain, for as long as they do."""
    with targets._lock:
        for there in targets._groups.values():
            for key, target in list(there.items()):
                if target.state != "draining":
                    targets._become(target, "healthy", "")
                elif targets._clock.monotonic() >= target.until:
                    del there[key]


def _health(targets: Any, group: str, id: str) -> str:
    found = targets._groups.get(group, {}).get((id, PORT))
    return "unused" if found is None else str(found.state)
