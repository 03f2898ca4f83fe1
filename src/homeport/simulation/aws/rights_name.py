"""What calls about names and addresses want of a role: action, resource, keys of conditions. Called by `rights` and
`service`.

Sentences in quotation marks are AWS's: Route 53 Developer Guide, "Using IAM policy conditions for fine-grained access
control". Resources are those of the Service Authorization Reference.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

Wanted = tuple[str, str, dict[str, list[str]]]
CHANGE = "route53:ChangeResourceRecordSets"
NAMES, TYPES, VERBS = (f"{CHANGE}{each}" for each in ("NormalizedRecordNames", "RecordTypes", "Actions"))
_SPACE = "{https://route53.amazonaws.com/doc/2013-04-01/}"


def of_route53(method: str, path: str, body: bytes) -> Wanted:
    """Of a request, such as `POST /2013-04-01/hostedzone/Z0123/rrset/`."""
    match method, path.strip("/").split("/")[1:]:
        case "POST", ["hostedzone", zone, "rrset"]:
            return (CHANGE, _zone(zone), _keys(ElementTree.fromstring(body)))
        case "GET", ["hostedzone", zone, "rrset"]:
            return ("route53:ListResourceRecordSets", _zone(zone), {})
        case (("GET" | "DELETE"), ["hostedzone", zone]):
            return (f"route53:{method.title()}HostedZone", _zone(zone), {})
        case "POST", ["hostedzone"]:
            return ("route53:CreateHostedZone", "*", {})
        case "GET", ["hostedzonesbyname"]:
            return ("route53:ListHostedZonesByName", "*", {})
    return (f"route53:{method} {path}", "*", {})


def _zone(id_: str) -> str:
    return f"arn:aws:route53:::hostedzone/{id_}"


def _keys(request: "ElementTree.Element[str]") -> dict[str, list[str]]:
    """ "All letters must be lowercase. The DNS name must be without the trailing dot." """
    changes = list(request.iter(f"{_SPACE}Change"))

    def said(name: str) -> list[str]:
        return [found.text or "" for each in changes for found in each.iter(f"{_SPACE}{name}")]

    return {
        NAMES: [each.lower().rstrip(".") for each in said("Name")],
        TYPES: [each.upper() for each in said("Type")],
        VERBS: [each.upper() for each in said("Action")],
    }


def of_address(
    operation: str,
    asked: Mapping[str, Any],
    addresses: Sequence[Mapping[str, Any]],
    instances: Mapping[str, Mapping[str, Any]],
    place: str,
) -> list[Wanted]:
    """Of AssociateAddress and DisassociateAddress: on an address and an interface, the first on an instance too.
    `place`: what ARNs of the region's EC2 begin with."""
    action = f"ec2:{operation}"
    association = asked.get("AssociationId")
    known = next((each for each in addresses if association and each.get("AssociationId") == association), {})
    allocation = str(asked.get("AllocationId") or known.get("AllocationId", "*"))
    id_ = str(asked.get("InstanceId") or known.get("InstanceId", ""))
    instance = instances.get(id_, {})
    interface = next((str(each["NetworkInterfaceId"]) for each in instance.get("NetworkInterfaces", ())), "*")
    vpc = {"ec2:Vpc": [f"{place}:vpc/{instance['VpcId']}"]} if "VpcId" in instance else {}
    wanted: list[Wanted] = [
        (action, f"{place}:elastic-ip/{allocation}", {"ec2:AllocationId": [allocation]}),
        (action, f"{place}:network-interface/{interface}", vpc),
    ]
    if operation == "AssociateAddress":
        tags = {f"aws:ResourceTag/{each['Key']}": [str(each["Value"])] for each in instance.get("Tags", ())}
        wanted.append((action, f"{place}:instance/{id_ or '*'}", tags))
    return wanted
