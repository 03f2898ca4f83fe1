"""What a change does inside nested stacks, predicted as for the stack around them. Called by `decide`."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from homeport.model.stack import ResourceChange, Template
from homeport.plan.stack.evaluate import HIDDEN, evaluate
from homeport.plan.stack.package import NESTED
from homeport.plan.stack.parameter import declared
from homeport.plan.stack.replacement import SchemaOf, predict


def predict_inside(
    old: Template,
    new: Template,
    before: Mapping[str, Template],
    after: Mapping[str, Template],
    schema_of: SchemaOf,
    path: str = "",
) -> tuple[ResourceChange, ...]:
    """Changes of resources in nested stacks: `Web/Table` is the resource Table of the nested stack Web. `old` and `new`
    are evaluated; `before` and `after` hold the nested templates by path."""
    found: list[ResourceChange] = []
    for name in sorted(_ids(old) | _ids(new)):
        place = f"{path}{name}"
        one, other = _inner(old, name, before.get(place)), _inner(new, name, after.get(place))
        changes = predict(one, other, schema_of)
        found += [replace(each, logical_id=f"{place}/{each.logical_id}") for each in changes]
        found += predict_inside(one, other, before, after, schema_of, f"{place}/")
    return tuple(found)


def _ids(template: Template) -> set[str]:
    return {name for name, each in template.get("Resources", {}).items() if each.get("Type") == NESTED}


def _inner(outer: Template, name: str, template: Template | None) -> Template:
    """The nested template with the values that the outer one gives it; empty where it isn't there."""
    resource = outer.get("Resources", {}).get(name)
    if resource is None or template is None:
        return {"Resources": {}}
    given = resource.get("Properties", {}).get("Parameters", {})
    values: dict[str, Any] = {}
    for each, known in declared(template).items():
        value = given.get(each, known.default) if isinstance(given, dict) else known.default
        if known.hidden:
            value = {HIDDEN: f"{each} {value}"} if isinstance(value, str) else {HIDDEN: each}
        if value is not None:
            values[each] = value.split(",") if known.is_list and isinstance(value, str) else value
    return evaluate(template, values)
