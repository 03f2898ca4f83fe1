"""Resource types that the simulated CloudFormation can make: each by calling the service's own API, as AWS does.

Called by `stack`. A type that isn't here fails its stack: nothing is skipped. The types of servers, networks and
accounts are in the modules `stack_type_…`, which register themselves in `TYPES`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

Properties = Mapping[str, Any]
Clients = Callable[[str], Any]
"""From a service to boto3's client."""


class Scene(Struct, frozen=True):
    """In which a resource is made. `name`: for resources that the template doesn't name."""

    client: Clients
    account: str
    region: str
    stack: str
    name: str
    tags: dict[str, str]
    """The stack's, and CloudFormation's own. "AWS CloudFormation automatically creates the following stack-level tags
    with the prefix aws:" (Resource tag)."""


class Made(Struct, frozen=True):
    """`id`: what Ref gives; `attributes`: what GetAtt gives."""

    id: str
    attributes: dict[str, Any] = {}


class Type(Struct, frozen=True):
    """`update` None: a change that doesn't replace the resource is refused. `gone`: whether what was deleted is gone;
    None: at once."""

    create: Callable[[Scene, dict[str, Any]], Made]
    delete: Callable[[Scene, str, dict[str, Any]], None]
    update: Callable[[Scene, str, dict[str, Any], dict[str, Any]], Made] | None = None
    gone: Callable[[Scene, str], bool] | None = None


TYPES: dict[str, Type] = {}


def tags(scene: Scene, said: Properties, key: str = "Tags") -> list[dict[str, str]]:
    """The resource's tags with those of its stack; its own win."""
    own = {each["Key"]: str(each["Value"]) for each in said.get(key) or ()}
    return [{"Key": name, "Value": value} for name, value in {**scene.tags, **own}.items()]


def spec(scene: Scene, said: Properties, kind: str) -> list[dict[str, Any]]:
    """As EC2 takes tags at creation. EC2 itself refuses what begins with `aws:`; only CloudFormation may."""
    plain = [each for each in tags(scene, said) if not each["Key"].startswith("aws:")]
    return [{"ResourceType": kind, "Tags": plain}] if plain else []


def without(said: Properties, *names: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in names}


def number(value: Any) -> int:
    """Templates say numbers as texts, too."""
    return int(value)


def typed(client: Any, operation: str, said: Any) -> Any:
    """The same with texts turned into the numbers and truth values that the operation wants: in templates both may be
    written as texts."""
    shape = client.meta.service_model.operation_model(operation).input_shape
    return _typed(shape, said)


def _typed(shape: Any, value: Any) -> Any:
    match shape.type_name, value:
        case "structure", dict():
            return {key: _typed(shape.members[key], each) if key in shape.members else each
                    for key, each in value.items()}  # fmt: skip
        case "list", list():
            return [_typed(shape.member, each) for each in value]
        case (("integer" | "long"), str()):
            return int(value)
        case "boolean", str():
            return value.lower() == "true"
        case "string", bool():
            return "true" if value else "false"
        case "string", (int() | float()):
            return str(value)
    return value


def missing(error: ClientError) -> bool:
    """Whether the service says that there is no such thing."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return any(word in code for word in ("NotFound", "NoSuch", "404"))
