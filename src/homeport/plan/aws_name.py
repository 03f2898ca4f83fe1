"""What an environment on AWS is called in DNS: instances of groups without targets within their network, hosts of
routes in the world. Pure. Called by `plan.aws_stacks`, the agent and engine `aws`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from homeport.model.platform import Place, Resolved

RESERVED = ("compute", "ec2")
"""Environments that would take names which AWS gives its own instances: `ip-….eu-west-1.compute.internal`,
`ip-….ec2.internal`."""
TTL_SECONDS = 10
"""So long those who asked for a private name may go on with what they heard."""


def domain(place: Place) -> str:
    return f"{place.name}.internal"


def private_name(place: Place, app: str, group: str) -> str:
    """What the group's instances are called, as on every engine."""
    return f"{group}.{app}.{domain(place)}"


def named(apps: Sequence[Resolved]) -> bool:
    """Whether any group has names: those do that nobody balances."""
    return any(not group.balanced for app in apps for group in app.groups)


def record(name: str, instance: str, address: str) -> dict[str, Any]:
    """That by which the name leads to one instance, among others of its group. Multivalue answers: "Route 53 responds
    to DNS queries with up to eight healthy records" (Route 53 Developer Guide)."""
    return {
        "Name": name,
        "Type": "A",
        "SetIdentifier": instance,
        "MultiValueAnswer": True,
        "TTL": TTL_SECONDS,
        "ResourceRecords": [{"Value": address}],
    }


def hosts(apps: Sequence[Resolved], zone: str) -> tuple[list[str], list[str]]:
    """Of all routes: those that lie within the zone, and those that don't."""
    found = sorted({route.host for app in apps for route in app.routes if route.host is not None})
    within = [each for each in found if each == zone or each.endswith(f".{zone}")]
    return within, [each for each in found if each not in within]


def host_records(within: Sequence[str], zone_id: str | None) -> dict[str, Any]:
    """A template with a record for each of the hosts, which leads to the balancer. The balancer has no IPv6 address."""
    where = {"HostedZoneName": {"Fn::Sub": "${Zone}."}} if zone_id is None else {"HostedZoneId": {"Ref": "Zone"}}
    target = {"DNSName": {"Ref": "Balancer"}, "HostedZoneId": {"Ref": "BalancerZone"}, "EvaluateTargetHealth": False}
    return {
        "Description": "Homeport - hosts of routes in the world's DNS.",
        "Parameters": {name: {"Type": "String"} for name in ("Zone", "Balancer", "BalancerZone")},
        "Resources": {
            f"Host{number}": {
                "Type": "AWS::Route53::RecordSet",
                "Properties": {**where, "Name": host, "Type": "A", "AliasTarget": target},
            }
            for number, host in enumerate(within, 1)
        },
    }


def problems(app: Resolved) -> Iterator[str]:
    """What of it engine aws can't have."""
    if app.place.name in RESERVED and named([app]):
        yield f"an environment called {app.place.name}: its private names would hide AWS's own, {domain(app.place)}"
