"""What the role of a pool lets an instance do with names and addresses, and who gets the last address."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from homeport.agent import elastic_ip
from homeport.agent.elastic_ip import ElasticIps
from homeport.engines.aws import premises
from homeport.errors import Invalid, Unavailable
from homeport.model.platform import Aws, Place
from homeport.simulation.aws.rights_name import NAMES, TYPES, VERBS, of_route53
from homeport.simulation.aws.simulator import Simulator
from tests.aws.world import IMAGE, TRUST

OWN = {"ForAllValues:StringEquals": {NAMES: ["jobs.shop.x.internal"], TYPES: ["A"], VERBS: ["UPSERT", "DELETE"]}}
AWS = Aws(account="123456789012", region="eu-west-1")
PLACE = Place(platform="shop", name="x", engine="aws", aws=AWS)


def record(name: str = "jobs.shop.x.internal", kind: str = "A", value: str = "10.0.0.1") -> dict[str, Any]:
    many = {"SetIdentifier": "i-1", "MultiValueAnswer": True}
    return {"Name": name, "Type": kind, "TTL": 10, "ResourceRecords": [{"Value": value}], **many}


@pytest.fixture
def zone(aws: Simulator) -> Iterator[str]:
    route53 = aws.client("route53")
    id_ = route53.create_hosted_zone(Name="x.internal", CallerReference="rights")["HostedZone"]["Id"]
    yield id_.rpartition("/")[2]
    route53.delete_hosted_zone(Id=id_)


@pytest.fixture
def instance(aws: Simulator, zone: str) -> Iterator[Any]:
    """Route 53 as an instance with the rights of a pool has it."""
    iam = aws.client("iam")
    place = f"arn:aws:route53:::hostedzone/{zone}"
    allowed = {"Effect": "Allow", "Action": "route53:ChangeResourceRecordSets", "Resource": place, "Condition": OWN}
    document = {"Version": "2012-10-17", "Statement": [allowed]}
    arn = iam.create_role(RoleName="named", AssumeRolePolicyDocument=str(TRUST).replace("'", '"'))["Role"]["Arn"]
    iam.put_role_policy(RoleName="named", PolicyName="only", PolicyDocument=str(document).replace("'", '"'))
    keys = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="i-1")["Credentials"]
    aws.rights.issue(keys["AccessKeyId"], "named")
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], aws.region)
    yield session.client("route53", endpoint_url=aws.endpoint_url)
    iam.delete_role_policy(RoleName="named", PolicyName="only")
    iam.delete_role(RoleName="named")
    aws.rights.denied.clear()


def test_an_instance_keeps_records_of_its_group_s_name_and_no_others(aws: Simulator, zone: str, instance: Any) -> None:
    def change(verb: str, said: dict[str, Any]) -> None:
        batch = {"Changes": [{"Action": verb, "ResourceRecordSet": said}]}
        instance.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    change("UPSERT", record())
    for verb, said in (
        ("UPSERT", record("web.shop.x.internal")),
        ("UPSERT", record(kind="TXT", value='"10.0.0.1"')),
        ("CREATE", record()),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            change(verb, said)
    with pytest.raises(ClientError, match="AccessDenied"):
        instance.list_resource_record_sets(HostedZoneId=zone)
    with pytest.raises(ClientError, match="AccessDenied"):
        instance.delete_hosted_zone(Id=zone)
    change("DELETE", record())
    assert any("web.shop.x.internal" in each for each in aws.rights.denied)


def test_a_request_to_route_53_wants_what_the_reference_says() -> None:
    assert of_route53("GET", "/2013-04-01/hostedzone/Z1/rrset", b"")[:2] == (
        "route53:ListResourceRecordSets", "arn:aws:route53:::hostedzone/Z1"
    )  # fmt: skip
    assert of_route53("POST", "/2013-04-01/hostedzone", b"")[:2] == ("route53:CreateHostedZone", "*")
    assert of_route53("GET", "/2013-04-01/hostedzonesbyname", b"")[0] == "route53:ListHostedZonesByName"


def test_of_two_that_want_the_last_address_one_gets_it_and_the_other_hears_whose_it_is(
    aws: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elastic_ip, "TRIES", 2)
    monkeypatch.setattr(elastic_ip, "BETWEEN_SECONDS", 0.0)
    ec2, ssm = aws.client("ec2"), aws.client("ssm")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = ec2.run_instances(ImageId=IMAGE, SubnetId=subnet, MinCount=2, MaxCount=2)["Instances"]
    ids = [each["InstanceId"] for each in made]
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ssm.put_parameter(Name="/addresses", Type="StringList", Value=f"eipalloc-0a1b2c3d,{allocation}")

    def of(id_: str) -> ElasticIps:
        return ElasticIps(aws.client, parameter="/addresses", instance=id_, say=lambda text: None)

    def take(id_: str) -> str:
        try:
            return of(id_).take()
        except Unavailable as error:
            return "; ".join(error.details)

    with ThreadPoolExecutor(2) as pool:
        ends = dict(zip(ids, pool.map(take, ids), strict=True))
    (winner,) = (id_ for id_, said in ends.items() if "eipalloc" not in said)
    (loser,) = set(ids) - {winner}
    assert ends[loser] == f"eipalloc-0a1b2c3d isn't there; {allocation} ({ends[winner]}) is {winner}'s"
    assert take(winner) == ends[winner], "the same again"
    of(loser).let_go()
    assert take(winner) == ends[winner], "nobody lets another's go"
    of(winner).let_go()
    assert take(loser) == ends[winner]
    ec2.terminate_instances(InstanceIds=ids)
    ec2.release_address(AllocationId=allocation)
    ssm.delete_parameter(Name="/addresses")


def test_zones_and_addresses_that_are_not_the_account_s_are_refused(aws: Simulator, zone: str) -> None:
    ec2, route53 = aws.client("ec2"), aws.client("route53")
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    premises.check_addresses(aws.client, PLACE, [allocation])
    with pytest.raises(Invalid, match="eipalloc-0a1b2c3d in"):
        premises.check_addresses(aws.client, PLACE, [allocation, "eipalloc-0a1b2c3d"])
    ec2.release_address(AllocationId=allocation)

    premises.check_zone(aws.client, PLACE, "x.internal", None)
    premises.check_zone(aws.client, PLACE, "x.internal", zone)
    with pytest.raises(Invalid, match="no public hosted zone y"):
        premises.check_zone(aws.client, PLACE, "y.internal", None)
    with pytest.raises(Invalid, match="has the id Z1"):
        premises.check_zone(aws.client, PLACE, "x.internal", "Z1")
    other = route53.create_hosted_zone(Name="x.internal", CallerReference="rights2")["HostedZone"]["Id"]
    with pytest.raises(Invalid, match="several"):
        premises.check_zone(aws.client, PLACE, "x.internal", None)
    premises.check_zone(aws.client, PLACE, "x.internal", zone)
    route53.delete_hosted_zone(Id=other)
