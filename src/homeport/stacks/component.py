"""Modules written in Python: a function whose typed parameters are the module's, and which returns resources. Called by
`source`.

    def component(name: str, zones: list[str], retain: bool = False) -> dict[str, object]: …

It returns resources by logical id (mappings, or objects of troposphere), a mapping with `Resources` and `Outputs`, or a
troposphere template. A value that is only known at deployment arrives as a reference, for parameters of any type.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.mistake import meant
from homeport.plan.stack.module.substitute import is_function

FUNCTION = "component"
GIVEN = "Given::"
"""Values that are functions are referred to by such names, so that they aren't taken for the component's own."""


def composed(path: Path, shown: str, given: Mapping[str, Any]) -> tuple[Template, dict[str, Any]]:
    """The module's meaning, and the values that its references `Given::…` stand for. Raises `Invalid`."""
    function = _function(path, shown)
    hints = _hints(function, shown)
    parameters = inspect.signature(function).parameters
    wrong = [f"there is no parameter {name}{meant(name, parameters)}" for name in given if name not in parameters]
    wrong += [
        f"the parameter {name} has no value"
        for name, each in parameters.items()
        if each.default is inspect.Parameter.empty and name not in given
    ]
    if wrong:
        raise Invalid(f"{shown}: {wrong[0]}", details=tuple(wrong[1:]))
    arguments = {
        name: _reference(name) if is_function(value) else _argument(name, value, hints.get(name, Any), shown)
        for name, value in given.items()
    }
    try:
        made = function(**arguments)
    except Exception as error:
        raise Invalid(f"{shown}: {type(error).__name__}: {error}") from error
    values = {f"{GIVEN}{name}": value for name, value in given.items() if is_function(value)}
    return _template(_plain(made, shown), shown), values


def _function(path: Path, shown: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"homeport_component_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise Invalid(f"{shown} can't be imported")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Invalid(f"{shown}: {type(error).__name__}: {error}") from error
    found = getattr(module, FUNCTION, None)
    if not callable(found):
        raise Invalid(f"{shown} has no function {FUNCTION}", hint=f"def {FUNCTION}(name: str) -> dict[str, object]: …")
    function: Callable[..., Any] = found
    return function


def _hints(function: Callable[..., Any], shown: str) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError) as error:
        raise Invalid(f"{shown}: {error}") from error


def _reference(name: str) -> Any:
    """As troposphere's own where the component uses that: its types take nothing else."""
    troposphere = sys.modules.get("troposphere")
    return troposphere.Ref(f"{GIVEN}{name}") if troposphere else {"Ref": f"{GIVEN}{name}"}


def _argument(name: str, value: Any, kind: Any, shown: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise Invalid(f"{shown}: the parameter {name}: {error}") from error


def _plain(value: Any, shown: str) -> Any:
    """JSON values; objects with `to_dict` (troposphere's) asked for theirs."""
    match value:
        case dict():
            return {str(key): _plain(each, shown) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each, shown) for each in value]
        case str() | int() | float() | bool() | None:
            return value
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict(), shown)
    raise Invalid(f"{shown}: expected resources, found {type(value).__name__}")


def _template(made: Any, shown: str) -> Template:
    if not isinstance(made, dict):
        raise Invalid(f"{shown}: expected a mapping of resources, found {type(made).__name__}")
    return made if "Resources" in made or "Outputs" in made else {"Resources": made}
