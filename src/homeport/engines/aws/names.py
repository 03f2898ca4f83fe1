"""Private names of what goes: instances keep their own records (`agent.name`), and may end without having taken them
out. Called by `fleet`, for an instance that is to end, and by wiring, for an environment.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from homeport.engines.aws.error import translated
from homeport.errors import Conflict, HomeportError
from homeport.system.effect import effect

ALWAYS = ("NS", "SOA")
"""A zone's own, which go with it. DeleteHostedZone: "only if there are no records other than the default SOA and NS
records"."""


def empty(client: Callable[[str], Any], zone: str, domain: str) -> None:
    """No instance's record is left in the zone: those of instances that went without a word are taken out. Raises
    `Conflict` where somebody else keeps records there, `Unavailable`."""
    with translated(f"the hosted zone {domain}"):
        route53 = client("route53")
        pages = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
        found = [each for page in pages for each in page["ResourceRecordSets"] if each["Type"] not in ALWAYS]
    others = [each for each in found if not _of_instance(each)]
    if others:
        raise Conflict(
            f"the hosted zone {domain} ({zone}) has records that aren't Homeport's, and can't go with them",
            details=tuple(f"{each['Name']} {each['Type']}" for each in others),
            hint="take them out of the zone, then again: homeport down",
        )
    for each in found:
        with translated(f"the name {each['Name']}"):
            _remove(route53, zone, each)


def take_out(client: Callable[[str], Any], zone: str, said: Mapping[str, Any]) -> None:
    """That record isn't in the zone. Where AWS doesn't do it, the instance itself will, or its successor: nothing waits
    for it."""
    with suppress(HomeportError), translated(f"the name {said['Name']}"):
        _remove(client("route53"), zone, said)


def _of_instance(seen: Mapping[str, Any]) -> bool:
    return seen["Type"] == "A" and bool(seen.get("MultiValueAnswer")) and seen["SetIdentifier"].startswith("i-")


@effect("aws.remove_name")
def _remove(route53: Any, zone: str, said: Mapping[str, Any]) -> None:
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": said}]}
    )
