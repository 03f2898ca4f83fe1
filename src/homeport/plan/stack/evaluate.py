"""What a template comes to with given parameters, as far as that can be known offline: conditions decided, mappings
looked up, texts joined. Used to compare what is deployed with what shall be.

What stays open (a resource's id, an imported value) stays a function. Values that must not be known, or can't be yet,
are markers: a mapping of one key that no template has.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from homeport.model.stack import Template

UNKNOWN = "Homeport::Unknown"
HIDDEN = "Homeport::Hidden"
LOOKED_UP = "Homeport::LookedUp"
"""Markers: known after apply, a secret, found by CloudFormation itself (a parameter of an SSM type)."""
LOOP = "Fn::ForEach"
VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
FUNCTIONS = ("Ref", "Condition", UNKNOWN, HIDDEN, LOOKED_UP)
"""Keys of what isn't known as it stands, beside all that begin with `Fn::`."""
NOTHING = object()
"""What AWS::NoValue stands for."""


def evaluate(template: Template, parameters: Mapping[str, Any]) -> Template:
    """The template with what is known put in; resources and outputs of conditions that don't hold are left out. A loop
    of CloudFormation's own (Fn::ForEach) among the resources becomes one of the type LOOP. `parameters`: values by
    name, pseudo parameters (`AWS::Region`) and markers too."""
    scene = Scene(template, parameters)
    found = {section: content for section, content in template.items() if section not in ("Resources", "Outputs")}
    for section in ("Resources", "Outputs"):
        found[section] = {
            name: scene.fold(each if isinstance(each, dict) else {"Type": LOOP, "Properties": {"Loop": each}})
            for name, each in template.get(section, {}).items()
            if not (isinstance(each, dict) and scene.holds(each.get("Condition")) is False)
        }
    return found


def unknown(value: Any) -> bool:
    """Whether there is anything in it that can only be known after an apply."""
    match value:
        case dict():
            return UNKNOWN in value or any(unknown(each) for each in value.values())
        case list():
            return any(unknown(each) for each in value)
        case str():
            return UNKNOWN in value
    return False


def references(value: Any) -> frozenset[str]:
    """Names that it refers to by Ref, GetAtt or Sub: of resources and of parameters."""
    return frozenset(name.partition(".")[0] for name in _collected(value))


def attributes(value: Any) -> frozenset[str]:
    """Names of resources of which it reads an attribute, not only the id."""
    return frozenset(name.partition(".")[0] for name in _collected(value) if "." in name)


def _collected(value: Any) -> set[str]:
    found: set[str] = set()
    _collect(value, found)
    return found


def _collect(value: Any, found: set[str]) -> None:
    """Adds `Name` or `Name.Attribute`."""
    match value:
        case {"Ref": str() as name}:
            found.add(name)
        case {"Fn::GetAtt": [str() as name, *_]}:
            found.add(f"{name}.")
        case {"Fn::GetAtt": str() as text}:
            found.add(text)
        case {"Fn::Sub": str() as text}:
            found.update(name for literal, name in VARIABLE.findall(text) if not literal)
        case {"Fn::Sub": [str() as text, dict() as own]}:
            found.update({name for literal, name in VARIABLE.findall(text) if not literal} - set(own))
            _collect(own, found)
        case dict():
            for each in value.values():
                _collect(each, found)
        case list():
            for each in value:
                _collect(each, found)


class Scene:
    """A template with parameters, in which values are worked out."""

    def __init__(self, template: Template, parameters: Mapping[str, Any]) -> None:
        self.parameters = parameters
        self.conditions = template.get("Conditions", {})
        self.mappings = template.get("Mappings", {})
        self._decided: dict[str, bool | None] = {}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Fn::If": self._if,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::FindInMap": self._find,
            "Fn::Equals": self._equals,
        }

    def holds(self, name: Any) -> bool | None:
        """Whether the condition of this name does; None: it can't be known."""
        if not isinstance(name, str) or name not in self.conditions:
            return None
        if name not in self._decided:
            self._decided[name] = None  # one that needs itself stays open
            self._decided[name] = self._decide(self.conditions[name])
        return self._decided[name]

    def _decide(self, rule: Any) -> bool | None:
        match rule:
            case {"Condition": name}:
                return self.holds(name)
            case {"Fn::Not": [one]}:
                inner = self._decide(one)
                return None if inner is None else not inner
            case {"Fn::And": list() as several}:
                found = [self._decide(each) for each in several]
                return False if False in found else None if None in found else True
            case {"Fn::Or": list() as several}:
                found = [self._decide(each) for each in several]
                return True if True in found else None if None in found else False
        made = self.fold(rule)
        return made if isinstance(made, bool) else None

    def fold(self, value: Any) -> Any:
        match value:
            case {"Ref": "AWS::NoValue"} if len(value) == 1:
                return NOTHING
            case {"Ref": str() as name} if len(value) == 1:
                return self.parameters.get(name, value)
            case dict() if len(value) == 1 and (key := next(iter(value))) in self._functions:
                return self._functions[key](value[key])
            case dict():
                made = {key: self.fold(each) for key, each in value.items()}
                return {key: each for key, each in made.items() if each is not NOTHING}
            case list():
                items = (self.fold(each) for each in value)
                return [each for each in items if each is not NOTHING]
        return value

    def _if(self, argument: Any) -> Any:
        match argument:
            case [name, yes, no]:
                held = self._decide(name) if isinstance(name, dict) else self.holds(name)
                if held is not None:
                    return self.fold(yes if held else no)
                return {"Fn::If": [name, _kept(self.fold(yes)), _kept(self.fold(no))]}
        return {"Fn::If": self.fold(argument)}

    def _sub(self, argument: Any) -> Any:
        text, own = argument, {}
        if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
            text, own = argument[0], {name: self.fold(each) for name, each in argument[1].items()}
        if not isinstance(text, str):
            return {"Fn::Sub": self.fold(argument)}
        values = {**self.parameters, **own}
        used = {name for literal, name in VARIABLE.findall(text) if not literal}
        open_ones = {name: values[name] for name in used if name in values and not _plain(values[name])}

        def put(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return "${" + name + "}" if not _is_open(used, values) else found[0]
            return _text(values[name]) if name in values and name not in open_ones else found[0]

        made = VARIABLE.sub(put, text)
        if not _is_open(used, values):
            return made
        return {"Fn::Sub": [made, open_ones] if open_ones else made}

    def _join(self, argument: Any) -> Any:
        folded = self.fold(argument)
        match folded:
            case [str() as between, list() as items] if all(_plain(each) for each in items):
                return between.join(_text(each) for each in items)
        return {"Fn::Join": folded}

    def _select(self, argument: Any) -> Any:
        folded = self.fold(argument)
        match folded:
            case [index, list() as items] if _plain(index) and _text(index).isdigit() and int(index) < len(items):
                return items[int(index)]
        return {"Fn::Select": folded}

    def _split(self, argument: Any) -> Any:
        folded = self.fold(argument)
        match folded:
            case [str() as between, str() as text] if between:
                return text.split(between)
        return {"Fn::Split": folded}

    def _find(self, argument: Any) -> Any:
        folded = self.fold(argument)
        match folded:
            case [str() as name, first, second, *_] if _plain(first) and _plain(second):
                found = self.mappings.get(name, {}).get(_text(first), {})
                if isinstance(found, dict) and _text(second) in found:
                    return found[_text(second)]
        return {"Fn::FindInMap": folded}

    def _equals(self, argument: Any) -> Any:
        folded = self.fold(argument)
        match folded:
            case [one, other] if (same := _same(one, other)) is not None:
                return same
        return {"Fn::Equals": folded}


def _same(one: Any, other: Any) -> bool | None:
    """Whether both come to the same; None: functions in them decide. CloudFormation compares only texts, but a module's
    parameters may be lists and mappings."""
    if _is_function(one) or _is_function(other):
        return None
    match one, other:
        case list(), list():
            pairs = list(zip(one, other, strict=False)) if len(one) == len(other) else None
            removable = any(isinstance(each, dict) and "Fn::If" in each for each in (*one, *other))
            return _all_same(pairs) if pairs is not None else None if removable else False
        case dict(), dict():
            return _all_same([(one[key], other[key]) for key in one]) if one.keys() == other.keys() else False
        case (list() | dict(), _) | (_, list() | dict()):
            return False
    return one is other if one is None or other is None else _text(one) == _text(other)


def _all_same(pairs: list[tuple[Any, Any]]) -> bool | None:
    found = [_same(one, other) for one, other in pairs]
    return False if False in found else None if None in found else True


def _is_function(value: Any) -> bool:
    return isinstance(value, dict) and any(key in FUNCTIONS or key.startswith("Fn::") for key in value)


def _is_open(used: set[str], values: Mapping[str, Any]) -> bool:
    """Whether a text has variables whose values aren't known."""
    return any(name not in values or not _plain(values[name]) for name in used)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    """As CloudFormation writes a scalar into a text."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _kept(value: Any) -> Any:
    return {"Ref": "AWS::NoValue"} if value is NOTHING else value
