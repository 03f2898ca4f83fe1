"""What is done to a document before anything else in it is read: constants and inserted files. Called by `expand`."""

from collections.abc import Callable
from typing import Any

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.mistake import instead
from homeport.plan.stack.module.name import section
from homeport.plan.stack.module.substitute import MISSING, substitute

CONSTANT = "Const::"


def prepared(body: Template, file: str, text: Callable[[str, str], str]) -> Template:
    """The document without `Constants` and Fn::InsertFile. Raises `Invalid`, and what `text` raises."""
    said = section(body, "Constants", file)
    rest = {key: value for key, value in body.items() if key != "Constants"}
    constants: dict[str, Any] = {}

    def lookup(name: str) -> Any:
        if not name.startswith(CONSTANT):
            return MISSING
        wanted = name.removeprefix(CONSTANT)
        if wanted not in constants:
            raise Invalid(f"{file}: no constant {wanted}{instead(wanted, constants)}")
        return constants[wanted]

    for name, value in said.items():
        constants[name] = substitute({"Fn::Sub": value} if isinstance(value, str) else value, lookup)
    made: Template = _inserted(substitute(rest, lookup) if CONSTANT in repr(rest) else rest, file, text)
    return made


def _inserted(value: Any, file: str, text: Callable[[str, str], str]) -> Any:
    match value:
        case {"Fn::InsertFile": str() as path} if len(value) == 1:
            return text(path, file)
        case dict():
            return {key: _inserted(each, file, text) for key, each in value.items()}
        case list():
            return [_inserted(each, file, text) for each in value]
    return value
