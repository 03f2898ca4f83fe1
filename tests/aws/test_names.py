"""What an environment on the simulated AWS is called: instances that nobody balances by private names, with Elastic IP
addresses of their group; hosts of routes in the world.

One environment for all of them, in this order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.aws.environment import FILE, WEB, leaving, person_of
from tests.aws.world import until
from tests.e2e.person import Person

NAME = "jobs.plain.production.internal."
JOBS = "jobs: exec python3 -m http.server -b $HOST $PORT\n"


@pytest.fixture(scope="module")
def addresses(running_aws: Simulator) -> Iterator[list[str]]:
    """Allocation ids."""
    ec2 = running_aws.client("ec2")
    found = [ec2.allocate_address(Domain="vpc")["AllocationId"] for _ in range(3)]
    yield found
    for each in found:
        ec2.release_address(AllocationId=each)


@pytest.fixture(scope="module")
def zone(running_aws: Simulator) -> Iterator[str]:
    """A public hosted zone of the user's."""
    route53 = running_aws.client("route53")
    id_ = route53.create_hosted_zone(Name="example.com", CallerReference="names")["HostedZone"]["Id"]
    yield id_.rpartition("/")[2]
    route53.delete_hosted_zone(Id=id_)


@pytest.fixture(scope="module")
def person(
    running_aws: Simulator, addresses: list[str], zone: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Person]:
    directory: Path = tmp_path_factory.mktemp("names")
    with leaving(person_of(running_aws, directory, platform(addresses), procfile=WEB + JOBS)) as found:
        yield found


def platform(addresses: list[str]) -> str:
    said = FILE.replace("min = 1, desired = 2, max = 4", "min = 1, desired = 1, max = 4")
    groups = """[groups.jobs]
run = ["jobs"]
instances = { min = 1, desired = 2, max = 2 }
stop_grace = "30s"
[[routes]]
path = "/"
to = "web"
[[routes]]
host = "www.example.com"
to = "web"
[[routes]]
host = "blog.example.net"
to = "web"
[deploy]"""
    ips = ", ".join(f'"{each}"' for each in addresses)
    return said.replace("[deploy]", groups) + f'zone = "example.com"\ngroups.jobs.elastic_ips = [{ips}]\n'


def private_zone(aws: Simulator) -> str:
    found = aws.client("route53").list_hosted_zones_by_name(DNSName="production.internal")["HostedZones"]
    return next((str(each["Id"]) for each in found if each["Name"] == "production.internal."), "")


def records(aws: Simulator, zone: str) -> list[dict[str, Any]]:
    found = aws.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return [each for each in found if each["Type"] not in ("NS", "SOA")]


def led_to(aws: Simulator) -> dict[str, str]:
    """Instance → address, by the private name."""
    found = [each for each in records(aws, private_zone(aws)) if each["Name"] == NAME]
    return {each["SetIdentifier"]: each["ResourceRecords"][0]["Value"] for each in found}


def holders(aws: Simulator, addresses: list[str]) -> set[str]:
    """Instances that have one of them."""
    found = aws.client("ec2").describe_addresses(AllocationIds=addresses)["Addresses"]
    return {each["InstanceId"] for each in found if each.get("InstanceId")}


def test_instances_that_nobody_balances_have_names_and_addresses_when_they_are_ready(
    aws: Simulator, person: Person, addresses: list[str]
) -> None:
    said = person("up", "--yes")
    assert "blog.example.net" in said
    shown = [each for each in person.instances() if each["group"] == "jobs"]
    there = {each["id"]: each["address"] for each in shown}
    assert len(there) == 2
    assert led_to(aws) == there
    known = aws.client("ec2").describe_addresses(AllocationIds=addresses)["Addresses"]
    assert {each["public_address"] for each in shown} < {each["PublicIp"] for each in known}
    assert {each["name"] for each in shown} == {NAME.rstrip(".")}
    assert holders(aws, addresses) == set(there)


def test_hosts_of_routes_within_the_zone_lead_to_the_balancer(aws: Simulator, zone: str) -> None:
    (record,) = records(aws, zone)
    assert (record["Name"], record["Type"]) == ("www.example.com.", "A")
    (balancer,) = aws.client("elbv2").describe_load_balancers()["LoadBalancers"]
    assert record["AliasTarget"]["DNSName"].rstrip(".") == balancer["DNSName"]
    assert record["AliasTarget"]["HostedZoneId"] == balancer["CanonicalHostedZoneId"]


def test_what_died_without_a_word_is_nobody_s_name_once_its_successor_is_there(
    aws: Simulator, person: Person, addresses: list[str]
) -> None:
    dead = min(led_to(aws))
    aws.hypervisor.crash(dead)
    until(lambda: len(seen := set(led_to(aws))) == 2 and dead not in seen, "its successor has taken its place")
    assert holders(aws, addresses) >= set(led_to(aws))


def test_who_ends_gives_back_what_it_has_and_its_role_grants_no_more_than_was_needed(
    aws: Simulator, person: Person, addresses: list[str]
) -> None:
    one = min(led_to(aws))
    agent(aws, one, "stop")
    assert one not in led_to(aws)
    assert one not in holders(aws, addresses)
    granted = ("Name", "Address", "OwnInstances", "Interfaces")
    unused = aws.rights.unused(aws.hypervisor.role(one))
    assert [each for each in unused if any(word in each for word in granted)] == []
    agent(aws, one, "boot")
    assert one in led_to(aws)
    assert one in holders(aws, addresses)
    person("scale", "jobs=1")
    assert len(led_to(aws)) == 1, "whoever ends an instance takes it out"


def agent(aws: Simulator, instance: str, command: str) -> None:
    """It has done that there."""
    machine = aws.hypervisor.machine(instance)
    assert machine is not None
    assert machine.run(("homeport-agent", command), machine.console).ended.wait(60)


def test_down_takes_the_names_and_leaves_the_addresses(
    aws: Simulator, person: Person, zone: str, addresses: list[str]
) -> None:
    stale = {"Name": NAME, "Type": "A", "SetIdentifier": "i-0", "MultiValueAnswer": True, "TTL": 10}
    record = {**stale, "ResourceRecords": [{"Value": "10.0.0.1"}]}
    changes = [{"Action": "CREATE", "ResourceRecordSet": record}]
    aws.client("route53").change_resource_record_sets(HostedZoneId=private_zone(aws), ChangeBatch={"Changes": changes})
    person("down", "--yes")
    assert private_zone(aws) == ""
    assert records(aws, zone) == []
    assert holders(aws, addresses) == set()
