"""Ref, Fn::GetAtt and Fn::Sub with values put in, also values that are functions themselves. Used by all that composes
modules: parameters, names, outputs and loops are put in by this one way.
"""

import re
from collections.abc import Callable
from typing import Any

from homeport.plan.stack.evaluate import VARIABLE

MISSING: Any = object()
Lookup = Callable[[str], Any]
"""From a name or a path (`Name`, `Name.Attribute`, `Name[0].Output`) to its value; MISSING: it stays as it is."""
FUNCTIONS = ("Ref", "Condition")


def substitute(value: Any, lookup: Lookup) -> Any:
    """The same, with everything put in that `lookup` knows."""
    match value:
        case {"Ref": str() as name} if len(value) == 1:
            return _or(lookup(name), value)
        case {"Fn::GetAtt": _} if len(value) == 1 and (path := path_of(value)):
            return _or(lookup(path), value)
        case {"Fn::Sub": argument} if len(value) == 1:
            return _sub(argument, lookup)
        case dict():
            return {key: substitute(each, lookup) for key, each in value.items()}
        case list():
            return [substitute(each, lookup) for each in value]
    return value


def path_of(value: Any) -> str:
    """What a Ref or GetAtt names, dotted; empty: it is neither."""
    match value:
        case {"Ref": str() as name} if len(value) == 1:
            return name
        case {"Fn::GetAtt": str() as path} if len(value) == 1:
            return path
        case {"Fn::GetAtt": [str() as name, str() as attribute]} if len(value) == 1:
            return f"{name}.{attribute}"
    return ""


def paths(value: Any) -> set[str]:
    """All that is named in it."""
    found: set[str] = set()

    def note(path: str) -> Any:
        found.add(path)
        return MISSING

    substitute(value, note)
    return found


def is_function(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith(("Fn::", *FUNCTIONS))


def is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def text(value: Any) -> str:
    """As CloudFormation writes a scalar into a text."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _or(found: Any, value: Any) -> Any:
    return value if found is MISSING else found


def _sub(argument: Any, lookup: Lookup) -> Any:
    words, own = argument, {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
        words, own = argument[0], {name: substitute(each, lookup) for name, each in argument[1].items()}
    if not isinstance(words, str):
        return {"Fn::Sub": substitute(argument, lookup)}
    kept: dict[str, Any] = {}

    def put(found: re.Match[str]) -> str:
        literal, name = found[1], found[2].strip()
        if literal:
            return found[0]
        value = own[name] if name in own else lookup(name)
        return "${" + name + "}" if value is MISSING else _spliced(value, name, kept)

    made = VARIABLE.sub(put, words)
    if any(not literal for literal, _ in VARIABLE.findall(made)):
        return {"Fn::Sub": [made, kept] if kept else made}
    return VARIABLE.sub(lambda found: "${" + found[2] + "}", made)


def _spliced(value: Any, name: str, kept: dict[str, Any]) -> str:
    """A value as part of Fn::Sub's text; what can't be is kept beside it, under a name of its own."""
    match value:
        case str() | int() | float() | bool():
            return VARIABLE.sub(lambda found: "${!" + found[2] + "}", text(value))
        case {"Fn::Sub": str() as words} if len(value) == 1:
            return words
        case {"Fn::Sub": [str() as words, dict() as own]} if len(value) == 1:
            names = {each: _kept(each, one, kept) for each, one in own.items()}
            return VARIABLE.sub(lambda found: "${" + found[1] + names.get(found[2], found[2]) + "}", words)
        case list() if value and all(is_plain(each) for each in value):
            return ",".join(map(text, value))
    if path := path_of(value):
        return "${" + path + "}"
    return "${" + _kept(re.sub(r"[^A-Za-z0-9]", "", name) or "Value", value, kept) + "}"


def _kept(name: str, value: Any, kept: dict[str, Any]) -> str:
    """The name that it is kept under."""
    found, number = name, 1
    while found in kept and kept[found] != value:
        number += 1
        found = f"{name}{number}"
    kept[found] = value
    return found
