#!/usr/bin/env python3
"""Builds the machine image for the engine `aws` with Packer, and names it in AWS, where new instances of environments
find it. `make image REGION=eu-west-1` calls it; credentials come from where AWS's own programs take them.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

from homeport.model.platform import IMAGE

ROOT = Path(__file__).parents[1]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("region")
    asked.add_argument("--architecture", choices=("amd64", "arm64"), default="amd64")
    asked.add_argument("--instance-type", default="t3.small", help="that it is built on (default: %(default)s)")
    asked.add_argument("--parameter", default=IMAGE, help="of Systems Manager, gets its id (default: %(default)s)")
    asked.add_argument("--manifest", type=Path, help="of an image that Packer has built already: it is only named")
    said = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="homeport-image-") as scratch:
        image = image_of(said.manifest or built(said, Path(scratch)), said.region)
    boto3.client("ssm", region_name=said.region).put_parameter(
        Name=said.parameter, Value=image, Type="String", DataType="aws:ec2:image", Overwrite=True
    )
    sys.stdout.write(f"{said.parameter} in {said.region} is {image}; the next homeport up gives it to new instances\n")


def built(said: argparse.Namespace, scratch: Path) -> Path:
    """Packer's manifest."""
    if shutil.which("packer") is None:
        sys.exit("packer isn't installed; type: apt-get install packer")
    wheels = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch), str(ROOT))
    subprocess.run(wheels, check=True)
    (wheel,) = scratch.glob("*.whl")
    manifest = scratch / "image.json"
    variables = {
        "region": said.region,
        "wheel": wheel,
        "architecture": said.architecture,
        "instance_type": said.instance_type,
        "manifest": manifest,
    }
    arguments = [part for name, value in variables.items() for part in ("-var", f"{name}={value}")]
    if subprocess.run(["packer", "build", *arguments, "image/aws.pkr.hcl"], cwd=ROOT, check=False).returncode:
        sys.exit("packer built no image: its output is above; nothing was named")
    return manifest


def image_of(manifest: Path, region: str) -> str:
    """Id of the newest image in Packer's manifest, where it lies in that region."""
    document = json.loads(manifest.read_text())
    newest = next(each for each in document["builds"] if each["packer_run_uuid"] == document["last_run_uuid"])
    where, _, image = str(newest["artifact_id"]).partition(":")
    if where != region or not image.startswith("ami-"):
        sys.exit(f"{manifest}: expected an image in {region}, got {newest['artifact_id']}")
    return image


if __name__ == "__main__":
    main()
