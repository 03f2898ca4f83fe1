"""ForEach: a module or resource for each element of a list that is known when the template is composed. For `expand`.

In what is repeated `$Identifier` (or `${Identifier}`) is the element, `$Index` its number, `$Value.Name` a part of an
element that is a mapping. `Map` with `$MapValue` and `$MapIndex` is how it was first called.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.stack.module.substitute import MISSING, is_function, is_plain, text

TOKEN = re.compile(r"\$\{?(Identifier|Index|MapValue|MapIndex|Value)((?:\.[A-Za-z0-9_]+)*)(?![A-Za-z0-9_])\}?")
FN = "Fn::ForEach::"
LOOPS = ("ForEach", "Map")


class Turn(Struct, frozen=True):
    """One element. `instance`: what is repeated is called so in this turn."""

    identifier: str
    instance: str
    content: Any


class Loop(Struct, frozen=True):
    """`name`: how others refer to all of them."""

    name: str
    turns: tuple[Turn, ...]


def unrolled(name: str, content: Any, known: Callable[[Any], Any], file: str) -> Loop | None:
    """The turns of a module or resource that says ForEach; None: it doesn't. `known`: the collection with what is known
    put in. Raises `Invalid`."""
    if name.startswith(FN):
        return _function(name.removeprefix(FN), content, known, file)
    key = next((each for each in LOOPS if isinstance(content, dict) and each in content), None)
    if key is None:
        return None
    once = {other: value for other, value in content.items() if other != key}
    elements = _elements(known(content[key]), f"{file}: {name}: {key}")
    return Loop(
        name,
        tuple(
            Turn(identifier, f"{name}{number}", filled(once, identifier, number, value))
            for number, (identifier, value) in enumerate(elements)
        ),
    )


def _function(name: str, content: Any, known: Callable[[Any], Any], file: str) -> Loop:
    match content:
        case [str() as variable, collection, dict() as body] if len(body) == 1:
            ((key, once),) = body.items()
        case _:
            raise Invalid(f"{file}: expected {FN}{name}: [variable, collection, {{name: …}}]")
    marks = ("${" + variable + "}", "&{" + variable + "}")
    turns = []
    for number, (identifier, value) in enumerate(_elements(known(collection), f"{file}: {FN}{name}")):
        if any(mark in key for mark in marks):
            instance = key.replace(marks[0], identifier).replace(marks[1], re.sub(r"[^A-Za-z0-9]", "", identifier))
        else:
            instance = f"{key}{number}"
        filled_in = filled(_named(once, variable, identifier), identifier, number, value)
        turns.append(Turn(identifier, instance, filled_in))
    return Loop(name, tuple(turns))


def _elements(collection: Any, where: str) -> list[tuple[str, Any]]:
    """(identifier, value) of each."""
    if isinstance(collection, str):
        return [(each.strip(), each.strip()) for each in collection.split(",")] if collection.strip() else []
    if isinstance(collection, dict) and not is_function(collection):
        return [(name, value) for name, value in collection.items()]
    if isinstance(collection, list):
        return list(_listed(collection, where))
    raise Invalid(f"{where} needs a list that is known when the template is composed, found {collection!r:.80}")


def _listed(collection: list[Any], where: str) -> Iterator[tuple[str, Any]]:
    for each in collection:
        if isinstance(each, dict) and is_plain(each.get("Identifier")):
            yield text(each["Identifier"]), each
        elif is_plain(each):
            yield text(each), each
        else:
            raise Invalid(f"{where}: expected texts, or mappings with an Identifier, found {each!r:.80}")


def _named(value: Any, variable: str, identifier: str) -> Any:
    """With the variable that Fn::ForEach names."""
    match value:
        case {"Ref": str() as name} if name == variable:
            return identifier
        case dict():
            return {key: _named(each, variable, identifier) for key, each in value.items()}
        case list():
            return [_named(each, variable, identifier) for each in value]
        case str():
            return value.replace("${" + variable + "}", identifier).replace("&{" + variable + "}", identifier)
    return value


def filled(value: Any, identifier: str, index: int, element: Any) -> Any:
    """The same in one turn."""

    def put(found: re.Match[str]) -> str:
        made = _token(found[1], found[2], identifier, index, element)
        return text(made) if is_plain(made) else found[0]

    def walk(node: Any) -> Any:
        match node:
            case {"Fn::GetAtt": [("$Value" | "Value"), str() as attribute]}:
                found = _token("Value", f".{attribute}", identifier, index, element)
                return node if found is MISSING else found
            case dict():
                return {key: walk(each) for key, each in node.items()}
            case list():
                return [walk(each) for each in node]
            case str():
                return worded(node)
        return node

    def worded(words: str) -> Any:
        whole = TOKEN.fullmatch(words)
        made = _token(whole[1], whole[2], identifier, index, element) if whole else MISSING
        return TOKEN.sub(put, words) if made is MISSING else made

    return walk(value)


def _token(name: str, path: str, identifier: str, index: int, element: Any) -> Any:
    """What a token stands for; MISSING: the element has no such part."""
    if name in ("Index", "MapIndex"):
        return str(index)
    if name in ("Identifier", "MapValue"):
        return identifier
    found = element
    for step in path.split(".")[1:]:
        if not isinstance(found, dict) or step not in found:
            return MISSING
        found = found[step]
    return found


def selected(turns: list[tuple[str, str]], which: str) -> list[str] | None:
    """Instances that `[which]` means: all for `*` or nothing, one by its identifier or number; None: none."""
    if which in ("*", ""):
        return [instance for _, instance in turns]
    for identifier, instance in turns:
        if identifier == which:
            return [instance]
    if which.isdigit() and int(which) < len(turns):
        return [turns[int(which)][1]]
    return None
