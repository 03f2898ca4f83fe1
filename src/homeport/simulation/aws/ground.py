"""EC2 and Elastic Load Balancing, as the simulated Auto Scaling uses them. Implements `scaling_loop.Ground`."""

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from homeport.simulation.aws.inventory import Clients, Inventory
from homeport.simulation.aws.launch_template import LaunchTemplates
from homeport.simulation.aws.scaling_loop import LaunchFailed
from homeport.simulation.aws.scaling_model import Group, Member
from homeport.simulation.aws.service import Refused
from homeport.simulation.aws.target import Targets
from homeport.system.clock import SystemClock


class AwsGround:
    """`clock` is the paced one."""

    def __init__(self, client: Clients, inventory: Inventory, targets: Targets, clock: Any) -> None:
        self._client = client
        self._templates = LaunchTemplates(client)
        self._inventory = inventory
        self._targets = targets
        self._clock = clock

    def launch(self, group: Group, subnet: str, count: int) -> Sequence[Member]:
        made: list[dict[str, Any]] = []
        try:
            template = self._templates.version(group.template)
            tags = {key: each["Value"] for key, each in group.tags.items() if each["PropagateAtLaunch"]}
            asked = self._templates.request(template, {**tags, "aws:autoscaling:groupName": group.name}, subnet)
            # one by one: of several that are launched together moto gives only the first its profile
            ec2 = self._client("ec2")
            for _ in range(count):
                made += ec2.run_instances(**asked, MinCount=1, MaxCount=1)["Instances"]
        except (ClientError, BotoCoreError) as error:
            # what was launched before belongs to the group all the same
            if not made:
                said = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
                raise LaunchFailed(f"{said.get('Message', error)}.") from error
        used = {
            "LaunchTemplateId": template["LaunchTemplateId"],
            "LaunchTemplateName": template["LaunchTemplateName"],
            "Version": str(template["VersionNumber"]),
        }
        return [
            Member(
                id=each["InstanceId"],
                zone=each["Placement"]["AvailabilityZone"],
                type=each["InstanceType"],
                template=used,
                protected=group.protect_new,
                since=self._clock.monotonic(),
                launched_at=SystemClock().now(),
            )
            for each in made
        ]

    def terminate(self, ids: Sequence[str]) -> None:
        self._client("ec2").terminate_instances(InstanceIds=list(ids))

    def running(self) -> Mapping[str, str]:
        return {id: each["State"]["Name"] for id, each in self._inventory.instances().items()}

    def zone(self, subnet: str) -> str:
        return self._inventory.zone(subnet)

    def register(self, target_group: str, id: str) -> None:
        try:
            self._targets.register(target_group, id)
        except Refused:
            return  # the target group went before its servers; the group of servers goes on

    def deregister(self, target_group: str, id: str) -> None:
        self._targets.deregister(target_group, id)

    def health(self, target_group: str, id: str) -> str:
        return self._targets.health(target_group, id)
