"""What values of a template come to once resources have ids: functions that `plan.stack.evaluate` leaves open.

Called by `stack`. Sentences in quotation marks are AWS's: CloudFormation User Guide, intrinsic function reference.
"""

import base64
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from homeport.plan.stack.evaluate import VARIABLE
from homeport.plan.stack.parameter import scalar

NO_VALUE = object()


class Unresolvable(Exception):
    """The template says what can't be found out; in words for the event."""


class Scene(Struct, frozen=True):
    """`refs`: what Ref gives, by name; `attribute`: what GetAtt gives; `imported`: exports by name."""

    refs: Mapping[str, Any]
    attribute: Callable[[str, str], Any]
    imported: Callable[[str], str]
    zones: tuple[str, ...]

    def resolve(self, value: Any) -> Any:
        """The same without functions. Raises `Unresolvable`."""
        match value:
            case {"Ref": "AWS::NoValue"}:
                return NO_VALUE
            case {"Ref": str() as name} if len(value) == 1:
                return self._ref(name)
            case dict() if len(value) == 1 and (key := next(iter(value))).startswith("Fn::"):
                return self._call(key, value[key])
            case dict():
                made = {key: self.resolve(each) for key, each in value.items()}
                return {key: each for key, each in made.items() if each is not NO_VALUE}
            case list():
                return [each for each in map(self.resolve, value) if each is not NO_VALUE]
        return value

    def _ref(self, name: str) -> Any:
        if name not in self.refs:
            raise Unresolvable(f"Unresolved resource dependencies [{name}] in the Resources block of the template")
        return self.refs[name]

    def _call(self, name: str, argument: Any) -> Any:
        if name == "Fn::Sub":
            return self._sub(argument)
        if name == "Fn::GetAtt":
            parts = argument.split(".", 1) if isinstance(argument, str) else argument
            return self.attribute(str(parts[0]), str(self.resolve(parts[1])))
        known = self.resolve(argument)
        match name, known:
            case "Fn::Join", [between, items]:
                return str(between).join(scalar(each) for each in items)
            case "Fn::Select", [index, items]:
                return items[int(index)]
            case "Fn::Split", [between, text]:
                return str(text).split(str(between))
            case "Fn::Base64", str() as text:
                return base64.b64encode(text.encode()).decode()
            case "Fn::GetAZs", _:
                # "For the Fn::GetAZs function … returns an array that lists Availability Zones for a specified Region"
                return list(self.zones)
            case "Fn::Cidr", [block, count, *bits]:
                return _cidr(str(block), int(count), int(bits[0]) if bits else 8)
            case "Fn::ImportValue", str() as export:
                return self.imported(export)
            case "Fn::ToJsonString", _:
                return json.dumps(known)
            case "Fn::Length", list():
                return len(known)
        raise Unresolvable(f"the simulator can't work out {name}: {json.dumps(argument, default=str)[:200]}")

    def _sub(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def put(found: Any) -> str:
            literal, name = found.groups()
            if literal:
                return "${" + str(name) + "}"
            if name in own:
                return scalar(own[name])
            resource, dot, attribute = name.partition(".")
            return scalar(self.attribute(resource, attribute) if dot else self._ref(name))

        return str(VARIABLE.sub(put, text))


def _cidr(block: str, count: int, bits: int) -> list[str]:
    """ "cidrBits: The number of subnet bits for the CIDR. For example, specifying a value "8" for this parameter will
    create a CIDR with a mask of "/24"." """
    networks = ipaddress.ip_network(block).subnets(new_prefix=32 - bits)
    return [str(each) for _, each in zip(range(count), networks, strict=False)]
