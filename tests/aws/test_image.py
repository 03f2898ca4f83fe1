"""The machine image: what Packer is given is valid, and what it made is named in AWS. Its provisioning runs in a bare
Debian root (scripts/bare)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from homeport.simulation.aws.simulator import Simulator

ROOT = Path(__file__).parents[2]


def validate(tmp_path: Path, template: Path) -> subprocess.CompletedProcess[str]:
    wheel = tmp_path / "homeport-0-py3-none-any.whl"
    wheel.touch()
    command = ("packer", "validate", "-var", "region=eu-west-1", "-var", f"wheel={wheel}", str(template))
    where = os.environ | {"CHECKPOINT_DISABLE": "1"}
    return subprocess.run(command, cwd=ROOT, env=where, text=True, capture_output=True, check=False)


def test_packer_takes_the_template(tmp_path: Path) -> None:
    template = ROOT / "image/aws.pkr.hcl"
    done = validate(tmp_path, template)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "aws.pkr.hcl"
    broken.write_text(template.read_text().replace("image/provision", "image/elsewhere"))
    assert validate(tmp_path, broken).returncode != 0


@pytest.mark.parametrize(("region", "named"), [("eu-west-1", True), ("us-east-1", False)])
def test_what_packer_built_is_named(aws: Simulator, tmp_path: Path, region: str, named: bool) -> None:
    manifest = tmp_path / "image.json"
    builds = [
        {"name": "debian", "artifact_id": f"{region}:{image}", "packer_run_uuid": image} for image in ("ami-1", "ami-2")
    ]
    manifest.write_text(json.dumps({"builds": builds, "last_run_uuid": "ami-2"}))
    parameter = f"/images/{region}"
    command = (sys.executable, "scripts/image.py", aws.region, "--manifest", str(manifest), "--parameter", parameter)
    where = os.environ | aws.variables
    done = subprocess.run(command, cwd=ROOT, env=where, text=True, capture_output=True, check=False)
    assert (done.returncode == 0) == named, done.stderr
    assert ("expected an image in eu-west-1, got us-east-1:ami-2" in done.stderr) != named
    found = aws.client("ssm").get_parameters(Names=[parameter])["Parameters"]
    assert [each["Value"] for each in found] == (["ami-2"] if named else [])
