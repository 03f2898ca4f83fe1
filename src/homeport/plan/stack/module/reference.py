"""References to modules: `!GetAtt Content.Arn`, `Content[0].Arn`, `Content[*].Arn`, `!Invoke [Content, {…}, Arn]`.
Called by `expand`."""

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from homeport.errors import Invalid
from homeport.plan.mistake import instead
from homeport.plan.stack.module import parameter
from homeport.plan.stack.module.loop import selected
from homeport.plan.stack.module.substitute import MISSING, path_of, substitute

PATH = re.compile(r"([A-Za-z0-9]+)(?:\[([^\]]*)\])?(?:\.(.+))?", re.DOTALL)
MOST_ROUNDS = 50


class Instance(Struct, frozen=True):
    """A module that was composed. `again`: its outputs with further properties."""

    outputs: dict[str, Any]
    properties: dict[str, Any]
    resources: tuple[str, ...]
    again: Callable[[dict[str, Any]], dict[str, Any]]


class Known(Struct):
    """All that was composed so far, by whole names. `turns`: name of a loop → (identifier, instance)."""

    modules: dict[str, Instance] = field(default_factory=dict)
    turns: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def copy(self) -> "Known":
        return Known(dict(self.modules), dict(self.turns))

    def resources_of(self, name: str) -> tuple[str, ...]:
        """What DependsOn means by a name: resources of a module, of all turns of a loop, or the one of that name."""
        if name in self.turns:
            return tuple(id for _, instance in self.turns[name] for id in self.resources_of(instance))
        return self.modules[name].resources if name in self.modules else (name,)


def resolved(value: Any, known: Known, file: str) -> Any:
    """The same with outputs of modules put in. Raises `Invalid` for an output that isn't there, and for a circle."""
    if not known.modules and not known.turns:
        return value

    def lookup(path: str) -> Any:
        found = _at(path, known, file)
        if found is not MISSING and path_of(found) == path:
            raise Invalid(f"{file}: {path} refers to itself in a circle of modules")
        return found

    for _ in range(MOST_ROUNDS):
        made = _invoked(substitute(value, lookup), known, file)
        if made == value:
            return made
        value = made
    raise Invalid(f"{file}: outputs of modules refer to each other in a circle")


def _at(path: str, known: Known, file: str) -> Any:
    found = PATH.fullmatch(path)
    if found is None:
        return MISSING
    base, which, rest = found[1], found[2], found[3] or ""
    if base in known.turns:
        if which is None:
            which, _, rest = rest.partition(".")
        return _of_turns(base, which, rest, known, file)
    if base in known.modules and rest:
        return _of_instance(base, rest, known, file)
    return MISSING


def _of_turns(base: str, which: str, rest: str, known: Known, file: str) -> Any:
    instances = selected(known.turns[base], which)
    if instances is None:
        there = [identifier for identifier, _ in known.turns[base]]
        raise Invalid(f"{file}: {base} has no [{which}]{instead(which, there)}")
    values = [_of_instance(each, rest, known, file) for each in instances]
    return values if which in ("*", "") else values[0]


def _of_instance(name: str, rest: str, known: Known, file: str) -> Any:
    if name not in known.modules:  # a resource that is repeated
        return {"Fn::GetAtt": [name, rest]} if rest else {"Ref": name}
    instance = known.modules[name]
    if not rest:
        raise Invalid(f"{file}: {name} is a module: which of its outputs is meant? {', '.join(instance.outputs)}")
    for values in (instance.outputs, instance.properties):
        found = parameter.at(values, rest)
        if found is not MISSING:
            return found
    resource, _, attribute = rest.partition(".")
    if name + resource in instance.resources:
        return {"Fn::GetAtt": [name + resource, attribute]} if attribute else {"Ref": name + resource}
    raise Invalid(f"{file}: the module {name} has no output {rest}{instead(rest, instance.outputs)}")


def _invoked(value: Any, known: Known, file: str) -> Any:
    match value:
        case {"Fn::Invoke": [str() as name, dict() as more, *which]} if len(value) == 1:
            if name not in known.modules:
                raise Invalid(f"{file}: Fn::Invoke: no module {name}{instead(name, known.modules)}")
            outputs = known.modules[name].again(_invoked(more, known, file))
            if not which:
                return outputs
            if which[0] not in outputs:
                raise Invalid(f"{file}: the module {name} has no output {which[0]}{instead(str(which[0]), outputs)}")
            return outputs[which[0]]
        case {"Fn::Invoke": _} if len(value) == 1:
            raise Invalid(f"{file}: expected Fn::Invoke: [module, {{property: value}}, output]")
        case dict():
            return {key: _invoked(each, known, file) for key, each in value.items()}
        case list():
            return [_invoked(each, known, file) for each in value]
    return value
