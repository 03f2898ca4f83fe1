"""AWS, or what stands in for it: opened once in a process. Called by `cli`, `aws` and `stacks`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from homeport.errors import Unavailable

if TYPE_CHECKING:
    from homeport.engines.aws.cloud import AwsCloud
    from homeport.ports.cloudformation import Cloud

_opened: list[AwsCloud] = []
"""AWS, once it was asked for: making clients takes longer than asking."""


def chosen() -> Cloud:
    """The one that HOMEPORT_CLOUD names, `name` or `name:argument` of the entry points `homeport.clouds`; else AWS.
    Raises `Unavailable`."""
    from importlib.metadata import entry_points

    name, _, argument = os.environ.get("HOMEPORT_CLOUD", "aws").partition(":")
    if name == "aws":
        return aws()
    known = {each.name: each for each in entry_points(group="homeport.clouds")}
    if name not in known:
        hint = f"HOMEPORT_CLOUD={' or '.join(['aws', *sorted(known)])}"
        raise Unavailable(f"no cloud {name!r} is installed, so that nothing can be said of what is deployed", hint=hint)
    found: Cloud = known[name].load()(argument)
    return found


def aws() -> AwsCloud:
    """Without a word to AWS yet. Raises `Unavailable` where boto3 isn't installed."""
    if _opened:
        return _opened[0]
    try:
        from homeport.engines.aws.cloud import open_cloud
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise Unavailable("boto3, which asks AWS, isn't installed", hint="pip install 'homeport[aws]'") from error
    _opened.append(open_cloud())
    return _opened[0]
