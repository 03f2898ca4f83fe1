"""EC2's RunInstances from a launch template, of which moto takes neither profile nor tags, and for a token of which it
launches again. Everything else of RunInstances is moto's. Registered by `simulator`.
"""

import base64
import threading
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from homeport.simulation.aws.inventory import Clients
from homeport.simulation.aws.launch_template import LaunchTemplates
from homeport.simulation.aws.scaling_loop import LaunchFailed
from homeport.simulation.aws.service import Answer, Behaviour, Call, Passed, Refused

OVERRIDES = ("InstanceType", "InstanceInitiatedShutdownBehavior", "SecurityGroupIds", "MetadataOptions")


class Launches:
    def __init__(self, client: Clients) -> None:
        self._client = client
        self._templates = LaunchTemplates(client)
        self._lock = threading.Lock()
        self._made: dict[str, tuple[dict[str, Any], list[str]]] = {}

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {"RunInstances": self._run}

    def _run(self, call: Call) -> Answer:
        """EC2 API Reference, RunInstances: "If you specify a launch template, you can specify … Any parameters that you
        specify … override the same parameters in the launch template". Developer Guide, idempotency: a retry "with the
        same client token and the same parameters … completes successfully without performing any further actions";
        with other parameters "an IdempotentParameterMismatch exception"."""
        if call.get("ImageId") or not call.get("LaunchTemplate"):
            raise Passed
        token = str(call.get("ClientToken", ""))
        with self._lock:
            if token not in self._made:
                self._made[token] = (dict(call.asked), self._launch(call, token))
            asked, ids = self._made[token]
        if asked != call.asked:
            raise Refused("IdempotentParameterMismatch", "The request uses the same client token as a previous, but "
                          "non-identical request")  # fmt: skip
        found = self._client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
        return {"Instances": [one for each in found for one in each["Instances"]]}

    def _launch(self, call: Call, token: str) -> list[str]:
        said: dict[str, str] = dict(call.get("LaunchTemplate"))
        more = {each["Key"]: each["Value"] for spec in call.get("TagSpecifications") or ()
                if spec["ResourceType"] == "instance" for each in spec["Tags"]}  # fmt: skip
        try:
            asked = self._templates.request(self._templates.version(said), more, str(call.get("SubnetId", "")))
            if call.get("UserData"):
                asked["UserData"] = base64.b64decode(call.get("UserData")).decode()
            asked |= {key: call.get(key) for key in OVERRIDES if call.get(key)}
            made = self._client("ec2").run_instances(**asked, MinCount=1, MaxCount=1, ClientToken=token)["Instances"]
        except LaunchFailed as error:
            raise Refused("InvalidParameterValue", str(error)) from error
        except ClientError as error:
            refused = error.response["Error"]
            raise Refused(refused["Code"], refused["Message"]) from error
        return [str(each["InstanceId"]) for each in made]
