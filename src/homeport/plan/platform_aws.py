"""What [environments.<name>] says of AWS. Pure. Called by `plan.formation`."""

from homeport.model.platform import Aws
from homeport.plan.platform_check import Data, Notes
from homeport.plan.toml_line import Path

KEYS = ("account", "region", "vpc", "subnets", "image", "instance_type", "certificate", "price_per_hour")
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
    return Aws(**stated) if not missing else None
