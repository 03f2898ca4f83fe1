"""moto's answers as the simulator has them written: the same as moto's own, for less."""

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.backends import list_of_moto_modules
from moto.core import responses, serialize
from moto.core.serialize import ResponseSerializer, XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from moto.sts.responses import TokenResponse as STSResponse

from homeport.simulation.aws import moto_answer, moto_patch
from tests.aws.world import IMAGE, TRUST

REGION = "us-east-2"
"""Another one than that of the simulator, which shares the process with this moto."""
OBJECTS = [{"Key": f"shop/<{number}>&", "LastModified": "2026-11-22T08:15:30.250Z", "ETag": '"é"', "Size": number,
            "ChecksumAlgorithm": ["CRC32"], "Owner": {"ID": "1"}} for number in range(50)]  # fmt: skip
LISTED = {"Name": "all", "Prefix": "", "KeyCount": 50, "IsTruncated": True, "Contents": OBJECTS, "MaxKeys": 50}
CHANGES = {
    "values_found_once": (ResponseSerializer, "get_value", moto_answer.VALUE),
    "written_straight": (serialize, "xmltodict", moto_answer.XML),
    "times_read_as_written": (serialize, "parse_to_aware_datetime", moto_answer.TIME),
}


@pytest.fixture
def own_way(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """moto writes its answers by itself, in these respects, until the test ends."""

    def restore(*names: str) -> None:
        for each in names or CHANGES:
            monkeypatch.setattr(*CHANGES[each])

    restore()
    return restore


@pytest.fixture
def plain() -> Iterator[Callable[[str], Any]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    session = boto3.Session(aws_access_key_id="plain", aws_secret_access_key="plain", region_name=REGION)
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    yield lambda service: session.client(service, endpoint_url=f"http://{host}:{port}", config=config)
    server.stop()


def listed() -> str:
    known = get_service_model("s3").operation_model("ListObjectsV2")
    made = get_serializer_class("s3", "rest-xml")(operation_model=known, value_picker=XFormedAttributePicker())
    return str(made.serialize(LISTED)["body"])


def cost(of: Callable[[], object]) -> int:
    """How many functions of Python's are called, once what is kept is kept."""
    of()
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        of()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_is_the_same_for_less(change: str, own_way: Callable[..., None]) -> None:
    theirs, dear = listed(), cost(listed)
    getattr(moto_answer, change)()
    assert listed() == theirs
    assert cost(listed) < 0.9 * dear
    own_way(change)
    assert cost(listed) == dear


def test_all_kinds_of_answers_are_the_same(plain: Callable[[str], Any], own_way: Callable[..., None]) -> None:
    """Lists, maps, flags, times, text that needs escapes, members that aren't there, errors, JSON."""
    ec2, iam, elb, s3, ssm = (plain(each) for each in ("ec2", "iam", "elbv2", "s3", "ssm"))
    subnet = ec2.describe_subnets()["Subnets"][0]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "<&>", "Value": "\"'é\n"}, {"Key": "empty", "Value": ""}]}]
    ran = ec2.run_instances(ImageId=IMAGE, SubnetId=subnet["SubnetId"], MinCount=1, MaxCount=1, TagSpecifications=tags)
    ids = [each["InstanceId"] for each in ran["Instances"]]
    iam.create_role(RoleName="same", AssumeRolePolicyDocument=str(TRUST).replace("'", '"'), Description="<a & b>")
    elb.create_target_group(Name="same", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"])
    s3.create_bucket(Bucket="same-answers", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="same-answers", Key="a <b> & c", Body=b"1")
    ssm.put_parameter(Name="/same", Value="<&>", Type="String")
    heard: list[bytes] = []

    def answers() -> list[bytes]:
        heard.clear()
        ec2.describe_instances(InstanceIds=ids)
        ec2.describe_subnets()
        ec2.describe_security_groups()
        ec2.describe_instance_types(InstanceTypes=["t3.small"])
        iam.get_role(RoleName="same")
        elb.describe_target_groups()
        s3.list_objects_v2(Bucket="same-answers")
        s3.list_objects_v2(Bucket="same-answers", Delimiter=" ", EncodingType="url", Prefix="none")
        s3.list_object_versions(Bucket="same-answers")
        ssm.get_parameter(Name="/same")
        for wrong, asked in (
            (ec2.describe_instances, {"InstanceIds": ["i-0"]}),
            (iam.get_role, {"RoleName": "none"}),
            (ssm.get_parameter, {"Name": "/none"}),
            (s3.list_objects_v2, {"Bucket": "nobodys"}),
        ):
            with pytest.raises(ClientError):
                wrong(**asked)
        return list(heard)

    for client in (ec2, iam, elb, s3, ssm):
        client.meta.events.register("before-parse", lambda response_dict, **_: heard.append(response_dict["body"]))
    theirs = answers()
    moto_answer.sooner()
    ours = answers()
    own_way()
    ec2.terminate_instances(InstanceIds=ids)
    assert len(ours) == 14
    assert [without_id(each) for each in ours] == [without_id(each) for each in theirs]


def without_id(body: bytes) -> str:
    """But for the request's own number."""
    text = body.decode()
    for name in ("RequestId", "requestId", "RequestID"):
        before, _, rest = text.partition(f"<{name}>")
        text = before + rest.partition(f"</{name}>")[2]
    return text


def test_moto_looks_for_the_service_among_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []
    monkeypatch.setattr("moto.backends.list_of_moto_modules", lambda: looks.append(True) or list_of_moto_modules())

    def asked() -> object:
        scope = "AWS4-HMAC-SHA256 Credential=key/20261122/eu-west-1/sts/aws4_request, SignedHeaders=host"
        return moto.get_application({"HTTP_AUTHORIZATION": scope, "PATH_INFO": "/"})

    monkeypatch.setattr(DomainDispatcherApplication, "get_backend_for_host", moto_patch._BACKEND)
    moto = DomainDispatcherApplication(create_backend_app)
    application = asked()
    assert asked() is application
    assert len(looks) == 2
    moto_patch.services_found_once()
    assert [asked(), asked()] == [application, application]
    assert len(looks) == 3


def test_moto_lists_a_service_s_operations_for_each_call(
    plain: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    look = inspect.getmembers
    monkeypatch.setattr("moto.core.utils.inspect.getmembers", lambda of, **how: looks.append(of) or look(of, **how))
    sts = plain("sts")
    monkeypatch.setattr(responses, "method_names_from_class", moto_patch._METHODS)

    def asked() -> int:
        before = looks.count(STSResponse)
        sts.get_session_token()
        sts.get_session_token()
        return looks.count(STSResponse) - before

    assert asked() == 2
    moto_patch.operations_listed_once()
    assert asked() == 1
