"""Names of a module: its own, and as they are called in the whole template. Called by `expand`."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.stack.module.loop import FN
from homeport.plan.stack.module.substitute import MISSING

CONDITIONS, MAPPINGS, MODULES = "Conditions", "Mappings", "Modules"
OUTPUTS, RESOURCES = "Outputs", "Resources"
OWN = (CONDITIONS, MAPPINGS, MODULES, RESOURCES)


def section(body: Mapping[str, Any], key: str, file: str) -> dict[str, Any]:
    """Empty where there is none. Raises `Invalid`."""
    found = body.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Invalid(f"{file}: {key}: expected a mapping")
    return found


class Names(Struct, frozen=True):
    """`resources`: ids of resources and modules, without loops' own syntax."""

    prefix: str
    resources: frozenset[str]
    conditions: frozenset[str]
    mappings: frozenset[str]

    @classmethod
    def of(cls, body: Template, prefix: str, file: str) -> "Names":
        ids = [*section(body, RESOURCES, file), *section(body, MODULES, file)]
        loops = [section(body, key, file)[id] for key in (RESOURCES, MODULES) for id in section(body, key, file)]
        inner = [name for each in loops if isinstance(each, list) and len(each) == 3 for name in _keys(each[2])]
        return cls(
            prefix,
            frozenset({id.removeprefix(FN) for id in ids} | set(inner)),
            frozenset(section(body, CONDITIONS, file)),
            frozenset(section(body, MAPPINGS, file)),
        )

    def whole(self, path: str) -> Any:
        """What a Ref or GetAtt of one of the module's names becomes; MISSING: it isn't one."""
        name, dot, attribute = path.partition(".")
        base, bracket, rest = name.partition("[")
        if base not in self.resources:
            return MISSING
        if not dot:
            return {"Ref": f"{self.prefix}{base}{bracket}{rest}"}
        return {"Fn::GetAtt": [f"{self.prefix}{base}{bracket}{rest}", attribute]}

    def renamed(self, body: Template) -> Template:
        """The module with its names made whole, but for references by Ref, GetAtt and Sub."""
        made = dict(body)
        for key in OWN:
            if isinstance(body.get(key), dict):
                made[key] = {self._key(name): self._inside(each) for name, each in body[key].items()}
        if OUTPUTS in body:
            made[OUTPUTS] = self._inside(body[OUTPUTS])
        return made

    def _key(self, name: str) -> str:
        return f"{FN}{self.prefix}{name.removeprefix(FN)}" if name.startswith(FN) else self.prefix + name

    def _inside(self, value: Any) -> Any:
        match value:
            case [str() as variable, collection, dict() as once] if self._is_loop(once):
                inner = {self.prefix + name: self._inside(each) for name, each in once.items()}
                return [variable, self._inside(collection), inner]
            case dict():
                return {key: self._inside(self._said(key, each)) for key, each in value.items()}
            case list():
                return [self._inside(each) for each in value]
        return value

    def _is_loop(self, once: dict[str, Any]) -> bool:
        return len(once) == 1 and next(iter(once)) in self.resources

    def _said(self, key: str, value: Any) -> Any:
        """Where names stand as plain texts."""
        match key, value:
            case "DependsOn", str() as name if name in self.resources:
                return self.prefix + name
            case "DependsOn", list() as names:
                return [self.prefix + each if each in self.resources else each for each in names]
            case "Condition", str() as name if name in self.conditions:
                return self.prefix + name
            case "Fn::If", [str() as name, *rest] if name in self.conditions:
                return [self.prefix + name, *rest]
            case "Fn::FindInMap", [str() as name, *rest] if name in self.mappings:
                return [self.prefix + name, *rest]
            case "Fn::Invoke", [str() as name, *rest] if name in self.resources:
                return [self.prefix + name, *rest]
        return value


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []
