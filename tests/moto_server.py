"""moto's server with what its CloudFormation lacks for a site of nested stacks; run as a program by `tests.watched`.

Each patch is a function of its own; tests/unit/engines/test_moto.py shows that moto alone still fails without it. moto
is pinned exactly, because these are its insides.
"""

import ipaddress
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import ChangeSet, Stack
from moto.server import main


def nested_outputs() -> None:
    """`!GetAtt Nested.Outputs.Name`. moto takes it apart at each point, and finds no attributes in a nested stack."""

    def attribute(self: Stack, name: str) -> str:
        for each in self.output_map.values():
            if name == f"Outputs.{each.key}":
                return str(each.value)
        raise NotImplementedError(f'"Fn::GetAtt" : [ "{{0}}" , "{name}" ]')

    def whole(value: Any, resources: Any) -> Any:
        match value:
            case {"Fn::GetAtt": [name, *attribute]}:
                return {"Fn::GetAtt": [name, ".".join(attribute)]}
        return value

    Stack.get_cfn_attribute = attribute
    _first(whole)


def cidr() -> None:
    """`!Cidr [block, count, bits]`. moto leaves it as it is, and breaks where one of it is selected."""

    def blocks(value: Any, resources: Any) -> Any:
        match value:
            case {"Fn::Cidr": [*said]}:
                block, count, bits = (parsing.clean_json(each, resources) for each in (*said, 8)[:3])
                nets = ipaddress.ip_network(block).subnets(new_prefix=32 - int(bits))
                return [str(each) for each in islice(nets, int(count))]
        return value

    _first(blocks)


def _first(change: Callable[[Any, Any], Any]) -> None:
    """It is done to every value before moto works it out."""
    original = parsing.clean_json
    parsing.clean_json = lambda value, resources: original(change(value, resources), resources)


def outputs_of_change_sets() -> None:
    """A stack that a change set has made or changed has outputs. moto works them out before there are resources."""
    original = ChangeSet.apply

    def applied(self: ChangeSet) -> None:
        original(self)
        self.stack.template = self.template
        self.stack._parse_template()
        self.stack.output_map = self.stack._create_output_map()

    ChangeSet.apply = applied


if __name__ == "__main__":
    for patch in (nested_outputs, cidr, outputs_of_change_sets):
        patch()
    main(sys.argv[1:])
