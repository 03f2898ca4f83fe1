"""A module's parameters and what its user gives them: any value, not only texts. Called by `expand`.

Types are CloudFormation's and, because values may be mappings, Object, Map, Array, Boolean and Integer. A section
ParameterSchema says more of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from homeport.errors import Invalid
from homeport.plan.mistake import meant
from homeport.plan.stack.module.substitute import MISSING, is_function, is_plain, text

KINDS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Number": (int, float),
    "Integer": (int,),
    "Boolean": (bool,),
    "Object": (dict,),
    "Map": (dict,),
    "Array": (list,),
}
STEP = re.compile(r"\[([^\]]*)\]|\.?([^.\[\]]+)")


def values(body: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name; a parameter that got none and has no default is MISSING. Raises `Invalid` with all mistakes."""
    known = {**body.get("Inputs", {}), **body.get("Parameters", {})}
    schemas = body.get("ParameterSchema", {})
    wrong = [f"there is no parameter {name}{meant(name, known)}" for name in given if name not in known]
    found: dict[str, Any] = {}
    for name, said in known.items():
        rules = said if isinstance(said, dict) else {}
        value = given.get(name, rules.get("Default", MISSING))
        if value is not MISSING and name in schemas:
            value = _with_defaults(value, schemas[name])
            wrong += _problems(name, value, schemas[name])
        if value is not MISSING:
            value = _listed(value, str(rules.get("Type", "")))
            wrong += _disallowed(name, value, rules)
        found[name] = value
    if wrong:
        raise Invalid(wrong[0], details=tuple(wrong[1:]))
    return found


def _listed(value: Any, kind: str) -> Any:
    """Lists may be written with commas."""
    if isinstance(value, str) and (kind == "CommaDelimitedList" or kind.startswith("List<")):
        return [each.strip() for each in value.split(",")]
    return value


def _disallowed(name: str, value: Any, rules: Mapping[str, Any]) -> Iterator[str]:
    allowed = rules.get("AllowedValues")
    if isinstance(allowed, list) and is_plain(value) and text(value) not in map(text, allowed):
        yield f"{name} is {value!r}; allowed: {', '.join(map(text, allowed))}"


def at(values: Mapping[str, Any], path: str) -> Any:
    """What stands at `Name`, `Name.Key`, `Name[key].Key`, `Name[*].Key`; MISSING: it isn't a parameter's, or can't be
    known."""
    steps = [bracket or name for bracket, name in STEP.findall(path)]
    if not steps or steps[0] not in values:
        return MISSING
    return _below(values[steps[0]], steps[1:])


def _below(value: Any, steps: list[str]) -> Any:
    for number, step in enumerate(steps):
        if step == "*" and isinstance(value, dict | list) and not is_function(value):
            inner = value.values() if isinstance(value, dict) else value
            return [_below(each, steps[number + 1 :]) for each in inner]
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return MISSING
    return value


def _with_defaults(value: Any, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return value
    if isinstance(value, dict) and not is_function(value) and isinstance(schema.get("Properties"), dict):
        filled = dict(value)
        for name, inner in schema["Properties"].items():
            if name in filled:
                filled[name] = _with_defaults(filled[name], inner)
            elif isinstance(inner, dict) and "Default" in inner:
                filled[name] = _with_defaults(inner["Default"], inner)
        return filled
    if isinstance(value, list) and "Items" in schema:
        return [_with_defaults(each, schema["Items"]) for each in value]
    return value


def _problems(path: str, value: Any, schema: Any) -> Iterator[str]:
    """What a schema says against a value; nothing of what is known only later."""
    if not isinstance(schema, dict) or is_function(value):
        return
    kind = str(schema.get("Type", ""))
    if kind in KINDS and (
        not isinstance(value, KINDS[kind]) or (isinstance(value, bool) and kind in ("Number", "Integer"))
    ):
        yield f"{path}: expected {kind}, found {value!r:.60}"
        return
    yield from _bounds(path, value, schema)
    if isinstance(value, dict):
        for name in schema.get("Required", ()):
            if name not in value:
                yield f"{path}: {name} is required"
        for name, inner in schema.get("Properties", {}).items():
            if name in value:
                yield from _problems(f"{path}.{name}", value[name], inner)
    if isinstance(value, list) and "Items" in schema:
        for number, each in enumerate(value):
            yield from _problems(f"{path}[{number}]", each, schema["Items"])


def _bounds(path: str, value: Any, schema: Mapping[str, Any]) -> Iterator[str]:
    if "Enum" in schema and value not in schema["Enum"]:
        yield f"{path}: expected one of {', '.join(map(str, schema['Enum']))}, found {value!r:.60}"
    if isinstance(value, str) and "Pattern" in schema and not _matches(str(schema["Pattern"]), value):
        yield f"{path}: {value!r:.60} doesn't match {schema['Pattern']}"
    size, least, most = (len(value), "MinLength", "MaxLength") if isinstance(value, str) else (0, "", "")
    if isinstance(value, list):
        size, least, most = len(value), "MinItems", "MaxItems"
    if isinstance(value, int | float) and not isinstance(value, bool):
        size, least, most = value, "Minimum", "Maximum"  # type: ignore[assignment]
    if least in schema and size < schema[least]:
        yield f"{path}: {least} is {schema[least]}, found {value!r:.60}"
    if most in schema and size > schema[most]:
        yield f"{path}: {most} is {schema[most]}, found {value!r:.60}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True
