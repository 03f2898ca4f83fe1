"""What moto is changed in, and where it is mistrusted: each is still needed, else the test fails and it can go."""

import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.models.tags import TagBackend
from moto.s3.models import S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

from homeport.errors import Invalid
from homeport.simulation.aws import moto_patch
from homeport.simulation.aws.address import Addresses
from homeport.simulation.aws.service import Call, Door
from homeport.simulation.aws.simulator import Simulator
from tests.aws.world import IMAGE, TRUST

REGION = "us-west-2"
"""Another one than that of the simulator, which shares the process with this moto."""


@pytest.fixture(scope="module")
def plain(running_aws: Simulator) -> Iterator[Any]:
    """A client of moto without anything of ours before it."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    session = boto3.Session(aws_access_key_id="plain", aws_secret_access_key="plain", region_name=REGION)
    config = Config(retries={"total_max_attempts": 1})
    yield lambda service: session.client(service, endpoint_url=f"http://{host}:{port}", config=config)
    server.stop()


def test_moto_gives_instances_addresses_that_are_not_here(aws: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]

    def launched() -> str:
        made = ec2.run_instances(ImageId=IMAGE, SubnetId=subnet, MinCount=1, MaxCount=1)["Instances"][0]
        ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
        return str(made["PrivateIpAddress"])

    assert launched().startswith(("127.", "198.18."))
    monkeypatch.setattr(moto_patch.Subnet, "get_available_subnet_ip", moto_patch._ORIGINAL)
    assert not launched().startswith(("127.", "198.18."))


def test_moto_leaves_addresses_with_instances_that_are_gone(aws: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]

    def association() -> str:
        """After the instance that had it was terminated; empty: nobody's."""
        made = ec2.run_instances(ImageId=IMAGE, SubnetId=subnet, MinCount=1, MaxCount=1)["Instances"][0]
        ec2.associate_address(AllocationId=allocation, InstanceId=made["InstanceId"], AllowReassociation=False)
        ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
        return str(ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0].get("AssociationId", ""))

    assert association() == ""
    monkeypatch.setattr(moto_patch.Instance, "terminate", moto_patch._TERMINATE)
    left = association()
    assert left
    ec2.disassociate_address(AssociationId=left)
    ec2.release_address(AllocationId=allocation)


def test_moto_looks_through_all_tags_for_those_of_one(aws: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[Any] = []
    look = TagBackend.describe_tags

    def looked(backend: Any, filters: Any = None) -> Any:
        looks.append(filters)
        return look(backend, filters)

    monkeypatch.setattr(TagBackend, "describe_tags", looked)
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]

    def tags(name: str) -> list[dict[str, str]]:
        ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": name}, {"Key": "of", "Value": "one"}])
        found: list[dict[str, str]] = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"]
        return found

    try:
        assert tags("ours") == [{"Key": "Name", "Value": "ours"}, {"Key": "of", "Value": "one"}]
        assert looks == []
        monkeypatch.setattr(TaggedEC2Resource, "get_tags", moto_patch._TAGS)
        assert tags("moto's") == [{"Key": "Name", "Value": "moto's"}, {"Key": "of", "Value": "one"}]
        assert looks != []
    finally:
        ec2.delete_vpc(VpcId=vpc)


def test_moto_shows_everybody_every_bucket(aws: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = s3_backends["210987654321"]["aws"]
    theirs.create_bucket("theirs", aws.region)
    try:
        with pytest.raises(ClientError, match="403"):
            aws.client("s3").head_bucket(Bucket="theirs")
        monkeypatch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "true")
        aws.client("s3").head_bucket(Bucket="theirs")
    finally:
        theirs.delete_bucket("theirs")


def test_moto_has_two_create_the_same_object(aws: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    both_looked, patience = Barrier(2), [1]
    look = S3Backend.get_object

    def waiting(*args: Any, **kwargs: Any) -> Any:
        found = look(*args, **kwargs)
        with suppress(BrokenBarrierError):  # the other isn't let in before this one has written
            both_looked.wait(patience[0])
        return found

    s3 = aws.client("s3")
    s3.create_bucket(Bucket="once", CreateBucketConfiguration={"LocationConstraint": aws.region})
    monkeypatch.setattr(S3Backend, "get_object", waiting)

    def create(key: str) -> bool:
        try:
            s3.put_object(Bucket="once", Key=key, Body=b"", IfNoneMatch="*")
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sum(pool.map(create, ("a", "a"))) == 1
        for name, original in moto_patch._WRITES.items():
            monkeypatch.setattr(S3Response, name, original)
        both_looked.reset()
        patience[0] = 60
        assert sum(pool.map(create, ("b", "b"))) == 2


def test_moto_gives_only_the_first_of_several_instances_its_profile(plain: Any) -> None:
    iam, ec2 = plain("iam"), plain("ec2")
    iam.create_role(RoleName="plain", AssumeRolePolicyDocument=str(TRUST).replace("'", '"'))
    iam.create_instance_profile(InstanceProfileName="plain")
    iam.add_role_to_instance_profile(InstanceProfileName="plain", RoleName="plain")
    ids = [each["InstanceId"] for each in ec2.run_instances(
        ImageId=IMAGE, MinCount=2, MaxCount=2, IamInstanceProfile={"Name": "plain"})["Instances"]]  # fmt: skip
    found = ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]
    assert ["IamInstanceProfile" in each for each in found] == [True, False]
    ec2.terminate_instances(InstanceIds=ids)
    iam.remove_role_from_instance_profile(InstanceProfileName="plain", RoleName="plain")
    iam.delete_instance_profile(InstanceProfileName="plain")
    iam.delete_role(RoleName="plain")


def test_what_is_not_modelled_is_refused_and_noticed(aws: Simulator) -> None:
    with pytest.raises(ClientError, match="doesn't model autoscaling:StartInstanceRefresh"):
        aws.client("autoscaling").start_instance_refresh(AutoScalingGroupName="web")
    with pytest.raises(Exception, match=r"500|Unable to parse"):
        aws.client("ssm").start_session(Target="i-1")
    assert len(aws.broken) == 2
    aws.broken.clear()


def test_a_bug_of_the_simulator_is_an_answer_and_noticed(aws: Simulator) -> None:
    def wrong(call: Call) -> None:
        raise ValueError(call.operation)

    door = Door(aws.account)
    door.register("autoscaling", {"DescribeTags": wrong})
    environ = {
        "HTTP_AUTHORIZATION": "AWS4-HMAC-SHA256 Credential=A/20260101/eu-west-1/autoscaling/aws4_request, x",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": "19",
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(b"Action=DescribeTags"),
    }
    said = b"".join(door(environ, lambda *_: None))
    assert b"InternalFailure" in said
    assert door.broken
    assert "DescribeTags" in door.broken[0]


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moto_patch, "VERSION", "1.0")
    with pytest.raises(Invalid, match=r"the simulator needs 1\.0"):
        moto_patch.check()


def test_two_simulators_get_different_addresses() -> None:
    one, other = Addresses(), Addresses()
    try:
        assert one.take().rpartition(".")[0] != other.take().rpartition(".")[0]
        assert len({one.take() for _ in range(300)}) == 300
        with socket.socket() as server:
            server.bind((one.take(), 0))
    finally:
        one.close()
        other.close()
