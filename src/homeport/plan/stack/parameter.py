"""A template's parameters and the values that a stack gives them. Used by `decide` and `stacks.planner`."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.secret import Secret
from homeport.model.stack import Template, Unknown, Value
from homeport.plan.mistake import meant
from homeport.plan.stack.evaluate import HIDDEN, LOOKED_UP, UNKNOWN

MASK = "***"


class Parameter(Struct, frozen=True):
    """As the template declares it. `default` None: a value must be given."""

    type: str
    default: str | None = None
    hidden: bool = False
    """NoEcho: CloudFormation never tells its value."""
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    shortest: int | None = None
    longest: int | None = None
    least: float | None = None
    most: float | None = None

    @property
    def is_list(self) -> bool:
        return self.type == "CommaDelimitedList" or self.type.startswith("List<")

    @property
    def looked_up(self) -> bool:
        """CloudFormation asks SSM for the value: what is given is a name."""
        return self.type.startswith("AWS::SSM::Parameter::Value<")


def declared(template: Template) -> dict[str, Parameter]:
    """By name."""
    return {name: _parameter(each) for name, each in template.get("Parameters", {}).items() if isinstance(each, dict)}


def _parameter(said: Mapping[str, Any]) -> Parameter:
    default = said.get("Default")
    return Parameter(
        type=str(said.get("Type", "String")),
        default=None if default is None else scalar(default),
        hidden=scalar(said.get("NoEcho", False)).lower() == "true",
        allowed=tuple(scalar(each) for each in said.get("AllowedValues", ())),
        pattern=str(said.get("AllowedPattern", "")),
        shortest=_number(said.get("MinLength"), int),
        longest=_number(said.get("MaxLength"), int),
        least=_number(said.get("MinValue"), float),
        most=_number(said.get("MaxValue"), float),
    )


def _number(value: Any, kind: type[int] | type[float]) -> Any:
    try:
        return None if value is None else kind(value)
    except (TypeError, ValueError):
        return None


def scalar(value: Any) -> str:
    """As CloudFormation has it: texts, and true and false in lower case; lists with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(scalar(each) for each in value)
    return str(value)


def as_text(value: Value) -> str | Secret | Unknown:
    """A parameter's value: lists joined by commas. A secret in it makes all of it one; so does what is unknown."""
    if not isinstance(value, list):
        if isinstance(value, dict):
            raise Invalid("a parameter's value can't be a mapping")
        return value
    parts = [as_text(each) for each in value]
    open_ones = [each for each in parts if isinstance(each, Unknown)]
    if open_ones:
        return Unknown(tuple(dict.fromkeys(name for each in open_ones for name in each.of)))
    joined = ",".join(each.reveal() if isinstance(each, Secret) else str(each) for each in parts)
    return Secret(joined) if any(isinstance(each, Secret) for each in parts) else joined


def settle(stack: str, known: Mapping[str, Parameter], given: Mapping[str, Value]) -> dict[str, str | Secret | Unknown]:
    """What is sent for each parameter that is given. Raises `Invalid` with all mistakes together: values that are
    missing, that the template has no parameter for, or that it doesn't allow."""
    values = {name: as_text(value) for name, value in given.items()}
    wrong = [f"the template has no parameter {name}{meant(name, known)}" for name in values if name not in known]
    wrong += [f"{name} has no value" for name, each in known.items() if each.default is None and name not in values]
    for name, value in values.items():
        if name in known and (problem := _problem(known[name], value)):
            wrong.append(f"{name} {problem}")
    if wrong:
        raise Invalid(f"{stack}: {wrong[0]}" if len(wrong) == 1 else f"{stack}: parameters", details=_rest(wrong))
    return values


def _rest(wrong: list[str]) -> tuple[str, ...]:
    return tuple(wrong) if len(wrong) > 1 else ()


def _problem(parameter: Parameter, value: str | Secret | Unknown) -> str | None:
    """What the template doesn't allow; None: nothing, or it can't be known. Shows no secret."""
    if isinstance(value, Unknown) or parameter.looked_up:
        return None
    text = value.reveal() if isinstance(value, Secret) else value
    found = MASK if isinstance(value, Secret) or parameter.hidden else repr(text)
    for each in text.split(",") if parameter.is_list else (text,):
        if parameter.allowed and each not in parameter.allowed:
            return f"is {found}; allowed: {', '.join(parameter.allowed)}"
        if parameter.pattern and not _matches(parameter.pattern, each):
            return f"is {found}, which doesn't match {parameter.pattern}"
        if parameter.shortest is not None and len(each) < parameter.shortest:
            return f"is {found}; at least {parameter.shortest} characters are needed"
        if parameter.longest is not None and len(each) > parameter.longest:
            return f"is {found}; at most {parameter.longest} characters are allowed"
    return _number_problem(parameter, text, found)


def _number_problem(parameter: Parameter, text: str, found: str) -> str | None:
    if parameter.type != "Number":
        return None
    try:
        number = float(text)
    except ValueError:
        return f"is {found}, not a number"
    if parameter.least is not None and number < parameter.least:
        return f"is {found}; at least {parameter.least:g}"
    if parameter.most is not None and number > parameter.most:
        return f"is {found}; at most {parameter.most:g}"
    return None


def _matches(pattern: str, text: str) -> bool:
    """The pattern is Java's; one that Python can't read is left to CloudFormation."""
    try:
        return re.fullmatch(pattern, text, re.ASCII) is not None
    except re.error:
        return True


def scene(
    known: Mapping[str, Parameter], values: Mapping[str, str | Secret | Unknown], pseudo: Mapping[str, str]
) -> dict[str, Any]:
    """What evaluation is given: defaults filled in, markers for what is hidden, unknown, or looked up elsewhere."""
    found: dict[str, Any] = dict(pseudo)
    for name, parameter in known.items():
        value = values.get(name, parameter.default)
        if value is None:
            continue
        if parameter.hidden or isinstance(value, Secret):
            found[name] = {HIDDEN: name}
        elif isinstance(value, Unknown):
            found[name] = {UNKNOWN: list(value.of)}
        elif parameter.looked_up:
            found[name] = {LOOKED_UP: value}
        else:
            found[name] = value.split(",") if parameter.is_list else value
    return found
