"""Fn::Flatten: a list out of nested data, picked by a pattern, multiplied by variables, grouped. Called by `function`.

Fn::Flatten:
  Source: [{name: api, environments: [dev, prod]}]
  Transform:
    Template: {Name: $item.name, Environment: $env}
    Variables: {env: "$item.environments[*]"}
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from homeport.errors import Invalid
from homeport.plan.stack.module.substitute import is_function, text

STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
NAME = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z_][A-Za-z0-9_]*|\[[^\]]*\])*)\}?")
KEYS = ("GroupBy", "Pattern", "Source", "Transform")


def flatten(argument: Any, file: str) -> Any:
    """The list; with GroupBy a mapping of lists. Still the function where its source isn't known. Raises `Invalid`."""
    if isinstance(argument, list):
        return [each for item in argument for each in (item if isinstance(item, list) else [item])]
    if not isinstance(argument, dict) or "Source" not in argument or set(argument) - set(KEYS):
        raise Invalid(f"{file}: expected Fn::Flatten with {', '.join(KEYS)}, Source at least")
    source = argument["Source"]
    if is_function(source):
        return {"Fn::Flatten": argument}
    items = _picked(source, str(argument["Pattern"])) if "Pattern" in argument else _items(source)
    if "Transform" in argument:
        items = list(_transformed(items, argument["Transform"], file))
    if "GroupBy" in argument:
        return _grouped(items, str(argument["GroupBy"]))
    return items


def _items(source: Any) -> list[Any]:
    """What is worth an item: values of a mapping of mappings, else the list's elements (and those of lists in it)."""
    if isinstance(source, dict):
        values = list(source.values())
        if any(isinstance(each, list) for each in values):
            return [one for each in values for one in (each if isinstance(each, list) else [each])]
        return values
    if isinstance(source, list):
        return [one for each in source for one in (each if isinstance(each, list) else [each])]
    return [source]


def _picked(source: Any, pattern: str) -> list[Any]:
    found = [source]
    for bracket, name in STEP.findall(pattern.removeprefix("$")):
        step = bracket or name
        below: list[Any] = []
        for each in found:
            if isinstance(each, list):
                below += each if step == "*" else each[int(step) : int(step) + 1] if step.isdigit() else []
            elif isinstance(each, dict):
                below += each.values() if step == "*" else [each[step]] if step in each else []
        found = below
    return found


def _transformed(items: list[Any], transform: Any, file: str) -> Iterator[Any]:
    if not isinstance(transform, dict) or "Template" not in transform:
        raise Invalid(f"{file}: expected Fn::Flatten's Transform with Template, and Variables")
    variables = transform.get("Variables", {})
    if not isinstance(variables, dict):
        raise Invalid(f"{file}: expected Fn::Flatten's Variables as name: pattern")
    for item in items:
        choices = [_variable(each, item) for each in variables.values()]
        for values in product(*choices):
            scene = {"item": item, **dict(zip(variables, values, strict=True))}
            yield filled(transform["Template"], scene)


def _variable(pattern: Any, item: Any) -> list[Any]:
    if not isinstance(pattern, str):
        return pattern if isinstance(pattern, list) else [pattern]
    return _picked({"item": item}, pattern)


def filled(template: Any, scene: dict[str, Any]) -> Any:
    """The template with `$name.path` of the scene put in; a text that is nothing else becomes the value itself."""
    match template:
        case dict():
            return {key: filled(each, scene) for key, each in template.items()}
        case list():
            return [filled(each, scene) for each in template]
        case str():
            whole = NAME.fullmatch(template)
            if whole and whole[1] in scene:
                return _only(scene, whole[1], whole[2], template)
            return NAME.sub(
                lambda found: text(_only(scene, found[1], found[2], found[0])) if found[1] in scene else found[0],
                template,
            )
    return template


def _only(scene: dict[str, Any], name: str, path: str, otherwise: str) -> Any:
    found = _picked(scene[name], path) if path else [scene[name]]
    return found[0] if found else otherwise


def _grouped(items: list[Any], by: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in items:
        if isinstance(each, dict) and by in each:
            found.setdefault(text(each[by]), []).append(each)
    return found
