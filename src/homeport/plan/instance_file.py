"""What a server is, by `/etc/homeport/instance.toml` and the variables that say the same: which app it runs, where it
listens. Pure. Called by the agent."""

import re
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

import msgspec
from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.platform import Mode
from homeport.plan.mistake import Mistake, meant, refuse
from homeport.plan.platform_value import listen

PREFIX = "HOMEPORT_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_ZONE = re.compile(r"[a-z0-9-]{1,40}")


class InstanceFile(Struct, frozen=True, kw_only=True):
    """Every field is a key of the file, and in capitals behind `HOMEPORT_` a variable, which wins. None: not said."""

    store: str | None = None
    app: str | None = None
    environment: str | None = None
    group: str | None = None
    mode: Mode | None = None
    """`review`: all groups of the app, on this one instance."""
    listen: str = "0.0.0.0:8080"
    """Address and port of the process that serves; the others get the ports after it."""
    instance: str | None = None
    """Its id; None: the machine's name."""
    zone: str = "a"
    identity: str | None = None
    """Path of the age identity that decrypts secrets."""
    directory: str | None = None
    """Where the agent keeps what it fetched, and the instance."""


def read(
    text: str, variables: Mapping[str, str], file: str, below: Mapping[str, str] = MappingProxyType({})
) -> InstanceFile:
    """The file, with what the variables say instead; `below`: what holds where neither says anything. Raises `Invalid`
    that lists every mistake."""
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{file} isn't TOML: {error}") from error
    keys = [each.name for each in msgspec.structs.fields(InstanceFile)]
    mistakes = [Mistake(0, f"unknown key {key!r}{meant(key, keys)}") for key in said if key not in keys]
    values: dict[str, Any] = {}
    for key in keys:
        name = f"{PREFIX}{key.upper()}"
        where, value = (name, variables[name]) if variables.get(name) else (key, said.get(key, below.get(key)))
        if value is not None:
            problem = _problem(key, value)
            mistakes += [Mistake(0, f"{where}: {problem}")] if problem else []
            values[key] = value
    refuse(file, mistakes)
    return InstanceFile(**values)


def _problem(key: str, value: Any) -> str | None:
    """What is wrong with the value; None: nothing."""
    if not isinstance(value, str) or not value:
        return f"expected a text, found {value!r}"
    match key:
        case "listen":
            try:
                listen(value)
            except Invalid as error:
                return error.message
        case "mode" if value not in get_args(Mode):
            return f"expected one of {', '.join(get_args(Mode))}, found {value!r}{meant(value, get_args(Mode))}"
        case "identity" | "directory" if not value.startswith("/"):
            return f"expected an absolute path, found {value!r}"
        case "instance" if not _NAME.fullmatch(value):
            return f"expected letters, digits and -, found {value!r}"
        case "zone" if not _ZONE.fullmatch(value):
            return f"expected small letters, digits and -, found {value!r}"
    return None


TAGS = ("store", "app", "environment", "group", "mode")
"""Keys that an EC2 instance has as tags, behind `homeport-`."""


def of_tags(tags: Mapping[str, str], *, instance: str, zone: str, address: str) -> dict[str, str]:
    """What an EC2 instance's tags say in the words of the file; `zone`: as "eu-west-1a", `address`: its private one."""
    said = {key: tags[f"homeport-{key}"] for key in TAGS if tags.get(f"homeport-{key}")}
    if port := tags.get("homeport-listen"):
        said["listen"] = f"{address}:{port}"
    return said | {"instance": instance, "zone": zone[-1:] or "a"} if said else {}
