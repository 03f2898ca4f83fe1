"""The age identity of an environment on AWS: a SecureString parameter, so that every operator and every instance has
the same. Called by wiring.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeport.engines.aws.error import translated
from homeport.errors import NotFound
from homeport.system.effect import effect


def share(client: Callable[[str], Any], parameter: str, path: Path, make: Callable[[], str]) -> None:
    """What the parameter has lies at `path`; where there is no parameter yet, it is made. Raises `Unavailable`,
    `Invalid` for credentials that aren't allowed to."""
    try:
        text = _fetch(client, parameter)
    except NotFound:
        text = _put(client, parameter, make())
    _keep(path, text)


def _fetch(client: Callable[[str], Any], parameter: str) -> str:
    with translated(f"the parameter {parameter}"):
        return str(client("ssm").get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"])


@effect("aws.put_identity")
def _put(client: Callable[[str], Any], parameter: str, text: str) -> str:
    """What is kept then: somebody else's, where he was first."""
    ssm = client("ssm")
    with translated(f"the parameter {parameter}"):
        try:
            ssm.put_parameter(Name=parameter, Value=text, Type="SecureString", Overwrite=False)
        except ssm.exceptions.ParameterAlreadyExists:
            return _fetch(client, parameter)
    return text


@effect("aws.keep_identity")
def _keep(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with open(part, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(f"{text.strip()}\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
