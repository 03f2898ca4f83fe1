"""Launch templates: what EC2 is asked for where one is used. moto keeps them, and takes little of what they say. Used
by `ground`, and by `launch` for those who ask EC2 themselves.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from homeport.simulation.aws.inventory import Clients
from homeport.simulation.aws.scaling_loop import LaunchFailed

LARGEST_USER_DATA_BYTES = 16_384
PARAMETER = "resolve:ssm:"
METADATA_TAG = re.compile(r"[A-Za-z0-9+\-=.,_:@]+")


class LaunchTemplates:
    def __init__(self, client: Clients) -> None:
        self._client = client

    def version(self, said: Mapping[str, str]) -> dict[str, Any]:
        """The version that is meant. Raises ClientError."""
        which = {key: said[key] for key in ("LaunchTemplateId", "LaunchTemplateName") if said.get(key)}
        answer = self._client("ec2").describe_launch_template_versions(
            **which, Versions=[str(said.get("Version") or "$Default")]
        )
        found: dict[str, Any] = answer["LaunchTemplateVersions"][0]
        return found

    def request(self, template: Mapping[str, Any], more_tags: Mapping[str, str], subnet: str) -> dict[str, Any]:
        """What EC2 is asked for. Raises `LaunchFailed` for what EC2 refuses and moto takes."""
        data = dict(template["LaunchTemplateData"])
        text = base64.b64decode(data.pop("UserData", "") or "")
        if len(text) > LARGEST_USER_DATA_BYTES:
            # EC2 User Guide, user data: "limited to 16 KB, in raw form, before it is base64-encoded"
            raise LaunchFailed("User data is limited to 16384 bytes.")
        specs = {each["ResourceType"]: list(each["Tags"]) for each in data.pop("TagSpecifications", None) or ()}
        tags = {each["Key"]: each["Value"] for each in specs.get("instance", ())} | dict(more_tags)
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
