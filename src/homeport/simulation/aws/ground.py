"""EC2 and Elastic Load Balancing, as the simulated Auto Scaling uses them. Implements `scaling_loop.Ground`."""

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from homeport.simulation.aws.inventory import Clients, Inventory
from homeport.simulation.aws.scaling_loop import LaunchFailed
from homeport.simulation.aws.scaling_model import Group, Member
from homeport.simulation.aws.service import Refused
from homeport.simulation.aws.target import Targets
from homeport.system.clock import SystemClock

LARGEST_USER_DATA_BYTES = 16_384
PARAMETER = "resolve:ssm:"
METADATA_TAG = re.compile(r"[A-Za-z0-9+\-=.,_:@]+")


class AwsGround:
    """`clock` is the paced one."""

    def __init__(self, client: Clients, inventory: Inventory, targets: Targets, clock: Any) -> None:
        self._client = client
        self._inventory = inventory
        self._targets = targets
        self._clock = clock

    def launch(self, group: Group, subnet: str, count: int) -> Sequence[Member]:
        made: list[dict[str, Any]] = []
        try:
            template = self._template(group.template)
            asked = self._asked(group, template, subnet)
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

    def _template(self, said: Mapping[str, str]) -> dict[str, Any]:
        which = {key: said[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if said.get(key)}
        answer = self._client("ec2").describe_launch_template_versions(
            **which, Versions=[str(said.get("Version") or "$Default")]
        )
        found: dict[str, Any] = answer["LaunchTemplateVersions"][0]
        return found

    def _asked(self, group: Group, template: Mapping[str, Any], subnet: str) -> dict[str, Any]:
        """What EC2 is asked for. Raises `LaunchFailed` for what EC2 refuses and moto takes."""
        data = dict(template["LaunchTemplateData"])
        text = base64.b64decode(data.pop("UserData", "") or "")
        if len(text) > LARGEST_USER_DATA_BYTES:
            # EC2 User Guide, user data: "limited to 16 KB, in raw form, before it is base64-encoded"
            raise LaunchFailed("User data is limited to 16384 bytes.")
        specs = {each["ResourceType"]: list(each["Tags"]) for each in data.pop("TagSpecifications", None) or ()}
        tags = {each["Key"]: each["Value"] for each in specs.get("instance", ())}
        tags |= {key: each["Value"] for key, each in group.tags.items() if each["PropagateAtLaunch"]}
        tags["aws:autoscaling:groupName"] = group.name
        if data.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
            _check_keys(tags)
        specs["instance"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        data["TagSpecifications"] = [{"ResourceType": kind, "Tags": each} for kind, each in specs.items() if each]
        image = str(data.get("ImageId", ""))
        if image.startswith(PARAMETER):
            name = image.removeprefix(PARAMETER)
            data["ImageId"] = self._client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        if text:
            data["UserData"] = text.decode()
        if data.get("NetworkInterfaces"):
            first = {**data["NetworkInterfaces"][0], "SubnetId": subnet, "DeviceIndex": 0}
            data["NetworkInterfaces"] = [first, *data["NetworkInterfaces"][1:]]
        else:
            data["SubnetId"] = subnet
        which = {"LaunchTemplateId": template["LaunchTemplateId"], "Version": str(template["VersionNumber"])}
        return {key: value for key, value in data.items() if value not in (None, [], {})} | {"LaunchTemplate": which}


def _check_keys(tags: Mapping[str, str]) -> None:
    """EC2 User Guide, tags in instance metadata: "Instance tag keys can only use letters, numbers, and the following
    characters: + - = . , _ : @. … can't contain spaces or /"."""
    for each in tags:
        if not METADATA_TAG.fullmatch(each):
            raise LaunchFailed(
                f"'{each}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and "
                "must not be a reserved name ('.', '..', '_index')."
            )
