"""Who has a role's credentials may what its policies say, and nothing else; everybody else may everything."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.simulator import Simulator
from homeport.simulation.aws.wish import Wish, s3_wish
from tests.aws.world import TRUST, policy

PLACE = "arn:aws:autoscaling:eu-west-1:1:autoScalingGroup:0:autoScalingGroupName/web"


@pytest.fixture
def server(aws: Simulator) -> Iterator[Any]:
    """From a policy to a client of a role that has only that."""
    iam, made = aws.client("iam"), []

    def may(document: dict[str, Any]) -> Any:
        name = f"server-{len(made)}"
        trust = str(TRUST).replace("'", '"')
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=str(document).replace("'", '"'))
        made.append(name)
        keys = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="i-1")["Credentials"]
        aws.rights.issue(keys["AccessKeyId"], name)
        session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], aws.region)
        return lambda service: session.client(service, endpoint_url=aws.endpoint_url)

    yield may
    for name in made:
        iam.delete_role_policy(RoleName=name, PolicyName="only")
        iam.delete_role(RoleName=name)
    aws.rights.denied.clear()


def test_a_bucket_is_read_as_far_as_the_policy_goes(aws: Simulator, server: Any) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="limited", CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_object(Bucket="limited", Key="shop/a", Body=b"a")
    s3.put_object(Bucket="limited", Key="other/a", Body=b"a")
    mine = server(policy("s3:GetObject", on="arn:aws:s3:::limited/shop/*"))("s3")
    assert mine.get_object(Bucket="limited", Key="shop/a")["Body"].read() == b"a"
    for call in (
        lambda: mine.get_object(Bucket="limited", Key="other/a"),
        lambda: mine.put_object(Bucket="limited", Key="shop/a", Body=b"b"),
        lambda: mine.list_objects_v2(Bucket="limited", Prefix="shop/"),
        lambda: mine.get_object(Bucket="limited", Key="shop/missing"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    assert "server-0: s3:PutObject on arn:aws:s3:::limited/shop/a" in aws.rights.denied
    lister = server(
        policy("s3:ListBucket", on="arn:aws:s3:::limited", Condition={"StringLike": {"s3:prefix": "shop/*"}})
    )
    assert lister("s3").list_objects_v2(Bucket="limited", Prefix="shop/")["KeyCount"] == 1
    with pytest.raises(ClientError, match="AccessDenied"):
        lister("s3").list_objects_v2(Bucket="limited")
    for key in ("shop/a", "other/a"):
        s3.delete_object(Bucket="limited", Key=key)
    s3.delete_bucket(Bucket="limited")


def test_calls_of_other_services_are_denied_in_their_own_words(aws: Simulator, server: Any) -> None:
    mine = server(policy("autoscaling:CompleteLifecycleAction", on=PLACE))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        mine("ec2").create_tags(Resources=["i-1"], Tags=[{"Key": "a", "Value": "b"}])
    with pytest.raises(ClientError, match="AccessDeniedException"):
        mine("ssm").get_parameter(Name="/secret")
    with pytest.raises(ClientError, match="AccessDenied"):
        mine("autoscaling").describe_auto_scaling_groups()
    assert len(aws.rights.denied) == 3


class Policies:
    """IAM's answers for one role with one policy."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def __call__(self, service: str) -> "Policies":
        return self

    def get_role(self, RoleName: str) -> dict[str, Any]:
        return {"Role": {}}

    def list_role_policies(self, RoleName: str) -> dict[str, Any]:
        return {"PolicyNames": ["only"]}

    def get_role_policy(self, RoleName: str, PolicyName: str) -> dict[str, Any]:
        return {"PolicyDocument": self.document}

    def list_attached_role_policies(self, RoleName: str) -> dict[str, Any]:
        return {"AttachedPolicies": []}


TAGS = {"i-1": {"Tags": [{"Key": "app", "Value": "shop"}]}, "i-2": {"Tags": [{"Key": "app", "Value": "blog"}]}}
OWN = {
    "StringEquals": {"aws:ResourceTag/app": "shop"},
    "ForAllValues:StringEquals": {"aws:TagKeys": ["release"]},
}


@pytest.mark.parametrize(
    ("id", "key", "allowed"), [("i-1", "release", True), ("i-2", "release", False), ("i-1", "app", False)]
)
def test_conditions_choose_by_tags(id: str, key: str, allowed: bool) -> None:
    rights = of(policy("ec2:CreateTags", on="arn:aws:ec2:eu-west-1:1:instance/*", Condition=OWN))
    (wish,) = rights.wishes.of("ec2", "CreateTags", {"Resources": [id], "Tags": [{"Key": key, "Value": "r1"}]})
    assert rights.granted("server", wish) is allowed


def of(document: dict[str, Any]) -> Rights:
    return Rights(Policies(document), lambda: TAGS, account="1", region="eu-west-1")


def test_what_is_denied_wins_and_what_is_unknown_never_holds() -> None:
    document = policy("s3:*")
    document["Statement"].append({"Effect": "Deny", "Action": "S3:Put*", "Resource": "arn:aws:s3:::a/*"})
    rights = of(document)
    assert rights.granted("server", Wish("s3:GetObject", "arn:aws:s3:::a/b"))
    assert not rights.granted("server", Wish("s3:PutObject", "arn:aws:s3:::a/b"))
    assert not of(policy("s3:*", Condition={"DateLessThan": {"aws:CurrentTime": "2099-01-01"}})).granted(
        "server", Wish("s3:GetObject", "arn:aws:s3:::a/b")
    )


def test_what_was_granted_and_never_needed_is_known() -> None:
    rights = of(policy("s3:GetObject", "s3:PutObject"))
    rights.granted("server", Wish("s3:GetObject", "arn:aws:s3:::a/b"))
    assert rights.unused("server") == ["Only s3:PutObject"]


@pytest.mark.parametrize(
    ("method", "path", "query", "action"),
    [
        ("GET", "/a/b%20c", "", "s3:GetObject"),
        ("HEAD", "/a/b", "", "s3:GetObject"),
        ("PUT", "/a/b", "partNumber=1&uploadId=2", "s3:PutObject"),
        ("DELETE", "/a/b", "uploadId=2", "s3:AbortMultipartUpload"),
        ("GET", "/a", "list-type=2&prefix=x", "s3:ListBucket"),
        ("GET", "/a", "location=", "s3:GetBucketLocation"),
    ],
)
def test_requests_to_s3_are_actions(method: str, path: str, query: str, action: str) -> None:
    assert s3_wish(method, path, query).action == action
