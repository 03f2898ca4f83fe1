"""What the file says of AWS alone: in [environments.<name>], and of groups. Pure. Called by `plan.formation`."""

from collections.abc import Callable, Iterable

from homeport.model.platform import Aws, Deploy, Group
from homeport.plan.batch import amount
from homeport.plan.platform_check import Data, Notes
from homeport.plan.toml_line import Path

KEYS = (
    "account", "region", "vpc", "subnets", "image", "instance_type", "certificate", "price_per_hour", "zone", "zone_id",
    "boundary",
)  # fmt: skip
Note = Callable[[Path, str], None]
LOCAL = {
    "listen": "the balancer listens on 80, and with a certificate on 443",
    "tls": "write certificate = the ARN of one of ACM",
    "redirect": "with a certificate, plain HTTP is sent on by itself",
}


def aws(said: Data, path: Path, notes: Notes) -> Aws | None:
    """None: the environment is of another engine. Mistakes are noted."""
    stated = {key: said[key] for key in KEYS if key in said}
    if said.get("engine", "local") != "aws":
        for key in stated:
            notes.add((*path, key), 'is for engine = "aws"')
        return None
    for key, instead in LOCAL.items():
        if key in said:
            notes.add((*path, key), f'isn\'t for engine = "aws": {instead}')
    missing = [key for key in ("account", "region") if key not in stated]
    for key in missing:
        if not notes.known((*path, key)):
            notes.add((*path, key), 'missing; engine = "aws" needs account and region')
    for one, other in (("vpc", "subnets"), ("subnets", "vpc")):
        if one in stated and other not in stated and not notes.known((*path, other)):
            notes.add((*path, one), f"goes with {other}")
    if "zone_id" in stated and "zone" not in stated and not notes.known((*path, "zone")):
        notes.add((*path, "zone_id"), "goes with zone, the name")
    if not missing and (certificate := stated.get("certificate")) is not None:
        its, here = tuple(certificate.split(":")[3:5]), (stated["region"], stated["account"])
        if its != here:
            expected = "one of the balancer's own region and account"
            notes.add((*path, "certificate"), f"is of {' and '.join(its)}, expected {expected}, {' and '.join(here)}")
    return Aws(**stated) if not missing else None


def check_addresses(groups: Iterable[Group], deploy: Deploy, engine: str, note: Note) -> None:
    """What is wrong with the groups' Elastic IP addresses is noted."""
    whose: dict[str, str] = {}
    for group in groups:
        path: Path = ("groups", group.name, "elastic_ips")
        if group.elastic_ips and engine != "aws":
            note(path, f'is for engine = "aws"; beside others, write it in [environments.<name>.groups.{group.name}]')
        elif group.elastic_ips and group.balanced:
            note(path, "is for groups that aren't balanced: requests to this one come by the load balancer")
        elif group.elastic_ips and len(group.elastic_ips) < (needed := addresses_needed(group, deploy)):
            said = f"{len(group.elastic_ips)} addresses, and {needed} instances may be there at once"
            parts = f"instances.max = {group.instances.max}, and what a deployment or a replacement has beside them"
            note(path, f"{said} ({parts})")
        for each in group.elastic_ips:
            if whose.setdefault(each, group.name) != group.name:
                note(path, f"{each} is an address of {whose[each]} already")


def addresses_needed(group: Group, deploy: Deploy) -> int:
    """So many of its instances may be there at once."""
    chosen = group.deploy or deploy
    sets = 2 if chosen.strategy == "replace" else 1
    # a group of one, and a first release, have their successors beside them
    beside = max(1, group.surge, amount(chosen.max_surge, group.instances.max, up=True))
    return sets * group.instances.max + beside
