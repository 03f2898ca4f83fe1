"""What the agent knows of AWS's services is what botocore knows of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from homeport.agent.service import CALLS, OwnModels

SCRIPT = Path(__file__).parents[3] / "scripts/agent_models.py"


def client(service: str) -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", OwnModels())
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "none"}
    return session.create_client(service, region_name="eu-west-1", **keys)


def test_the_models_are_those_of_the_installed_botocore() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make them anew by {SCRIPT.name}\n{done.stderr}"


@pytest.mark.parametrize("service", CALLS)
def test_a_client_has_the_calls_of_the_agent_and_no_others(service: str) -> None:
    assert sorted(client(service).meta.service_model.operation_names) == sorted(CALLS[service])


@pytest.mark.parametrize("region", ["eu-west-1", "cn-north-1", "us-gov-west-1"])
def test_each_region_is_reached_where_botocore_reaches_it(region: str) -> None:
    plain, ours = botocore.session.Session(), botocore.session.Session()
    ours.register_component("data_loader", OwnModels())
    urls = [
        [each.create_client(name, region_name=region).meta.endpoint_url for name in CALLS] for each in (plain, ours)
    ]
    assert urls[0] == urls[1]


def test_a_service_that_it_has_no_model_of_is_botocores() -> None:
    assert "GetCallerIdentity" in client("sts").meta.service_model.operation_names
