"""What botocore has to know of AWS's services for an instance's few calls: its own models, less all else. Called by
`agent.fleet`.

To read EC2's whole model takes longer than many an app's start. The files in `models` are made from botocore's by
`scripts/agent_models.py`; a test fails where they have drifted apart. What isn't among them botocore has.
"""

from pathlib import Path
from typing import Any

import msgspec

from homeport.system.aws_model import Models

MODELS = Path(__file__).with_name("models")
CALLS = {
    "autoscaling": ("CompleteLifecycleAction", "DescribeAutoScalingInstances"),
    "ec2": ("AssociateAddress", "CreateTags", "DescribeAddresses", "DisassociateAddress"),
    "route53": ("ChangeResourceRecordSets", "ListResourceRecordSets"),
    "ssm": ("GetParameter",),
}
"""Service → the operations that the agent asks for."""


class OwnModels(Models):
    """The `data_loader` of the agent's botocore session."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        own = MODELS / service_name / f"{type_name}.json"
        if own.is_file():
            return msgspec.json.decode(own.read_bytes())
        return super().load_service_model(service_name, type_name, api_version)
