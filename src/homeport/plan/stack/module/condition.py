"""A module's conditions, as far as they can be decided when it is composed. Called by `expand`."""

from collections.abc import Mapping
from typing import Any

from homeport.plan.stack.evaluate import Scene

NO_VALUE = {"Ref": "AWS::NoValue"}


def decided(conditions: Mapping[str, Any], mappings: Mapping[str, Any]) -> dict[str, bool | None]:
    """By name; None: CloudFormation must decide."""
    scene = Scene({"Conditions": dict(conditions), "Mappings": dict(mappings)}, {})
    return {name: scene.holds(name) for name in conditions}


def rest(rule: Any, known: Mapping[str, bool | None]) -> Any:
    """A rule that stays open, without what is decided in it. True or False: all of it is."""
    match rule:
        case {"Condition": str() as name}:
            held = known.get(name)
            return rule if held is None else held
        case {"Fn::Not": [one]}:
            inner = rest(one, known)
            return (not inner) if isinstance(inner, bool) else {"Fn::Not": [inner]}
        case {"Fn::And": list() as several}:
            return _joined("Fn::And", [rest(each, known) for each in several], neutral=True)
        case {"Fn::Or": list() as several}:
            return _joined("Fn::Or", [rest(each, known) for each in several], neutral=False)
    return settled(rule, known)


def _joined(name: str, rules: list[Any], *, neutral: bool) -> Any:
    if (not neutral) in [each for each in rules if isinstance(each, bool)]:
        return not neutral
    left = [each for each in rules if not isinstance(each, bool)]
    if not left:
        return neutral
    return left[0] if len(left) == 1 else {name: left}


def settled(value: Any, known: Mapping[str, bool | None]) -> Any:
    """The same with every Fn::If whose condition is decided; where that leaves AWS::NoValue, there is nothing."""
    match value:
        case {"Fn::If": [str() as name, yes, no]} if known.get(name) is not None:
            return settled(yes if known[name] else no, known)
        case dict():
            return {
                key: made
                for key, each in value.items()
                if not ((made := settled(each, known)) == NO_VALUE and each != NO_VALUE)
            }
        case list():
            return [made for each in value if not ((made := settled(each, known)) == NO_VALUE and each != NO_VALUE)]
    return value


def standing(named: Mapping[str, Any], known: Mapping[str, bool | None]) -> dict[str, Any]:
    """Resources, modules or outputs without those whose condition doesn't hold; one that does is no longer said."""
    found = {}
    for name, each in named.items():
        condition = each.get("Condition") if isinstance(each, dict) else None
        held = known.get(condition) if isinstance(condition, str) else None
        if held is False:
            continue
        found[name] = {key: value for key, value in each.items() if key != "Condition"} if held else each
    return found
