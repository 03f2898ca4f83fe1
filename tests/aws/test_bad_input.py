"""What an environment on AWS can't stand on, as typed: said at once, with nothing made and nothing lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from homeport.engines.aws import premises
from homeport.errors import Invalid
from homeport.model.platform import Aws, Place
from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit
from tests.aws import environment
from tests.e2e.person import Person

FILE = environment.FILE.replace('app = "plain"', 'app = "guarded"')
BUCKET = "homeport-guarded-123456789012-eu-west-1"
NETWORK = "homeport-guarded--production-network"


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    """Who has brought nothing up, and can't."""
    before = stacks(aws)
    yield environment.person_of(aws, tmp_path, FILE)
    assert stacks(aws) == before


def stacks(aws: Simulator) -> list[str]:
    return [each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]]


def refused(person: Person, code: int, *words: str) -> dict[str, Any]:
    error: dict[str, Any] = person.document("up", "--yes", code=code)["error"]
    assert all(each in error["message"] for each in words), error
    assert error["hint"], "what to do is said"
    return error


def test_what_was_never_brought_up(person: Person) -> None:
    for command in ("ps", "release list"):
        error = person.document(*command.split(), code=3)["error"]
        assert "guarded/production" in error["message"]
        assert "isn't up" in error["message"]
        assert error["hint"] in ("homeport up -e guarded/production", "homeport up -e production")


def test_no_credentials(person: Person, tmp_path: Path) -> None:
    for name in [each for each in person.environ if each.startswith("AWS_")]:
        del person.environ[name]
    nowhere = {"AWS_CONFIG_FILE": str(tmp_path / "no"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "no")}
    person.environ |= nowhere | {"AWS_EC2_METADATA_DISABLED": "true"}
    assert "AWS_PROFILE" in refused(person, 2, "no credentials for AWS")["hint"]


def test_credentials_of_another_account(person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE.replace("123456789012", "210987654321")})
    refused(person, 4, "123456789012", "210987654321")


def test_a_region_that_there_is_not(person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE.replace("eu-west-1", "eu-wset-1")})
    refused(person, 2, "knows no region eu-wset-1", 'did you mean "eu-west-1"?')


def test_a_region_that_lacks_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(platform="plain", name="production", engine="aws", aws=Aws(account="1", region="eu-south-1"))
    assert place.aws is not None
    premises.check_region(place, place.aws)
    monkeypatch.setitem(premises.SERVICES, "lightsail", "Lightsail")
    with pytest.raises(Invalid, match="region eu-south-1 has no Lightsail"):
        premises.check_region(place, place.aws)


def test_an_instance_type_that_is_not_offered_there(person: Person) -> None:
    commit(person.app, {"homeport.toml": f'{FILE}instance_type = "t9.huge"\n'})
    refused(person, 2, "t9.huge isn't offered in eu-west-1")


@pytest.mark.parametrize(("value", "said"), [(None, "isn't there"), ("ami-0123", "names ami-0123, which isn't there")])
def test_a_machine_image_that_is_not_there(aws: Simulator, person: Person, value: str | None, said: str) -> None:
    parameter = f"/images/{value}"
    commit(person.app, {"homeport.toml": f'{FILE}image = "{parameter}"\n'})
    if value is not None:
        aws.client("ssm").put_parameter(Name=parameter, Value=value, Type="String")
    error = refused(person, 2, f"no machine image: in eu-west-1 the parameter {parameter} {said}")
    assert error["hint"].startswith("make image REGION=eu-west-1")


def test_a_profile_that_there_is_not(person: Person) -> None:
    person.environ["AWS_PROFILE"] = "nobody"
    refused(person, 2, "no credentials for AWS", "nobody")


def test_a_network_that_is_not_there_or_not_enough(aws: Simulator, person: Person) -> None:
    ec2 = aws.client("ec2")
    vpc, other = (ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"] for _ in range(2))
    a, beside, b = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"eu-west-1{zone}")
        for number, zone in enumerate("aab")
    )
    ids = [each["Subnet"]["SubnetId"] for each in (a, beside, b)]
    nowhere = "subnet-0123456789abcdef0"
    for network, subnets, said in (
        (vpc, (ids[0], nowhere), f"there is no {nowhere}"),
        (other, (ids[0], ids[2]), f"{ids[0]} is in {vpc}"),
        (vpc, ids[:2], "all subnets are in eu-west-1a"),
    ):
        stated = f'region = "eu-west-1"\nvpc = "{network}"\nsubnets = ["{subnets[0]}", "{subnets[1]}"]'
        commit(person.app, {"homeport.toml": FILE.replace('region = "eu-west-1"', stated)})
        refused(person, 2, said)
    for each in ids:
        ec2.delete_subnet(SubnetId=each)
    for each in (vpc, other):
        ec2.delete_vpc(VpcId=each)


def test_a_python_that_is_not_here_to_build_with(person: Person) -> None:
    commit(person.app, {"requirements.txt": "", ".python-version": "3.2\n"})
    refused(person, 2, ".python-version asks for Python 3.2")


def test_a_stack_of_that_name_that_is_somebody_elses(aws: Simulator, person: Person) -> None:
    formation = aws.client("cloudformation")
    body = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    id = formation.create_stack(StackName=NETWORK, TemplateBody=body)["StackId"]
    try:
        refused(person, 4, f"there is a stack {NETWORK} already", "isn't this platform's")
    finally:
        formation.delete_stack(StackName=id)
        formation.get_waiter("stack_delete_complete").wait(StackName=id, WaiterConfig={"Delay": 1})


@pytest.mark.parametrize(
    ("account", "said"), [("210987654321", "is somebody else's"), ("123456789012", "is there, without the stack")]
)
def test_a_bucket_that_is_not_of_its_stack(aws: Simulator, person: Person, account: str, said: str) -> None:
    buckets = s3_backends[account]["aws"]
    buckets.create_bucket(BUCKET, "eu-west-1")
    try:
        refused(person, 4, f"the bucket {BUCKET} {said}")
    finally:
        buckets.delete_bucket(BUCKET)


def test_what_engine_aws_cannot_do(person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE.replace("[deploy]", '[deploy]\nstrategy = "blue-green"')})
    error = refused(person, 2, "guarded asks for what engine aws can't do yet")
    assert error["details"] == ["deploy: strategy blue-green; rolling and replace work"]
