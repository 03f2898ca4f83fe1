"""What is done to a document before anything else in it is read: constants and inserted files. Called by `expand`."""

import re
from collections.abc import Callable
from typing import Any

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.mistake import instead
from homeport.plan.stack.module.name import section
from homeport.plan.stack.module.substitute import MISSING, substitute

CONSTANT = "Const::"
PLACEHOLDER = re.compile(r"\{\{ *([A-Za-z0-9:]+(?:\.[A-Za-z0-9.]+)?) *\}\}")


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


def _parts(script: str) -> list[Any]:
    """Lines of a script, and between them what `{{ Name }}` or `{{ Name.Attribute }}` refers to: the shell's own `${x}`
    stays as it is."""
    found: list[Any] = []
    last = 0
    for each in PLACEHOLDER.finditer(script):
        found += [script[last : each.start()]] if each.start() > last else []
        name, _, attribute = each[1].partition(".")
        found.append({"Fn::GetAtt": [name, attribute]} if attribute else {"Ref": name})
        last = each.end()
    return [
        part for one in [*found, script[last:]] for part in (one.splitlines(True) if isinstance(one, str) else [one])
    ]


def _inserted(value: Any, file: str, text: Callable[[str, str], str]) -> Any:
    match value:
        case {"Fn::InsertFile": str() as path} if len(value) == 1:
            return text(path, file)
        case {"Fn::UserData": str() as path} if len(value) == 1:
            return {"Fn::Base64": {"Fn::Join": ["", _parts(text(path, file))]}}
        case dict():
            return {key: _inserted(each, file, text) for key, each in value.items()}
        case list():
            return [_inserted(each, file, text) for each in value]
    return value
