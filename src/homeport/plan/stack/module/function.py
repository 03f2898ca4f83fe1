"""Functions that CloudFormation lacks (Fn::Merge, Fn::Flatten), and of its own those whose arguments are all known.

Called by `expand`."""

from typing import Any

from homeport.errors import Invalid
from homeport.plan.stack.module.flatten import flatten
from homeport.plan.stack.module.substitute import is_function, is_plain, text

NO_VALUE = {"Ref": "AWS::NoValue"}


def reduce(value: Any, file: str) -> Any:
    """The same with these functions carried out, from the inside. Raises `Invalid`."""
    if isinstance(value, list):
        return [reduce(each, file) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: reduce(each, file) for key, each in value.items()}
    if len(made) != 1:
        return made
    ((name, argument),) = made.items()
    match name, argument:
        case "Fn::Merge", _:
            return _merged(argument, file)
        case "Fn::Flatten", _:
            return flatten(argument, file)
        case "Fn::Select", [index, list() as items] if is_plain(index) and not any(map(is_function, items)):
            return _selected(index, items, file)
        case "Fn::Join", [str() as between, list() as items] if all(map(is_plain, items)):
            return between.join(map(text, items))
        case "Fn::Split", [str() as between, str() as words] if between:
            return words.split(between)
    return made


def _merged(argument: Any, file: str) -> Any:
    if not isinstance(argument, list) or not argument:
        raise Invalid(f"{file}: expected Fn::Merge with a list of mappings, or of lists")
    if any(is_function(each) for each in argument):
        return {"Fn::Merge": argument}  # what isn't known yet may be so in the template around it
    found = argument[0]
    for each in argument[1:]:
        found = overlay(found, each)
    return found


def overlay(below: Any, above: Any) -> Any:
    """Mappings merged deep, lists one after the other; of anything else what is above."""
    match below, above:
        case dict(), dict() if not is_function(below) and not is_function(above):
            both = dict(below)
            for key, value in above.items():
                both[key] = overlay(both[key], value) if key in both else value
            return both
        case list(), list():
            return [*below, *above]
    return above


def _selected(index: Any, items: list[Any], file: str) -> Any:
    if not text(index).isdigit():
        return {"Fn::Select": [index, items]}
    if int(text(index)) >= len(items):
        raise Invalid(f"{file}: Fn::Select asks for number {index} of {len(items)}")
    return items[int(text(index))]


def looked_up(value: Any, mappings: dict[str, Any]) -> Any:
    """The same with every Fn::FindInMap whose names are all known."""
    match value:
        case {"Fn::FindInMap": [str() as name, first, second, *_]} if (
            name in mappings and is_plain(first) and is_plain(second)
        ):
            found = mappings[name].get(text(first), {})
            return found.get(text(second), value) if isinstance(found, dict) else value
        case {"Fn::FindInMap": argument} if len(value) == 1:
            inner = looked_up(argument, mappings)
            again = {"Fn::FindInMap": inner}
            return again if inner == argument else looked_up(again, mappings)
        case dict():
            return {key: looked_up(each, mappings) for key, each in value.items()}
        case list():
            return [looked_up(each, mappings) for each in value]
    return value


def maps_used(value: Any) -> set[str]:
    """Names of mappings that it still asks for."""
    match value:
        case {"Fn::FindInMap": [str() as name, *rest]}:
            return {name} | maps_used(rest)
        case dict():
            return {name for each in value.values() for name in maps_used(each)}
        case list():
            return {name for each in value for name in maps_used(each)}
    return set()
