"""Templates: YAML or JSON text to its meaning and back. Used by `stacks.compose`.

The meaning is what CloudFormation's JSON would say: intrinsic functions in their long form. Text is YAML 1.1 without
dates ("CloudFormation supports the YAML Version 1.1 specification with a few exceptions": User Guide, template format).
"""

import re
from typing import Any, TypeAlias

import msgspec
import yaml

from homeport.errors import Invalid
from homeport.model.stack import Template
from homeport.plan.mistake import meant
from homeport.plan.stack.text import STANDARD, compose, mark, pairs

LONG = {
    "Ref": "Ref",
    "Condition": "Condition",
    **{
        name: f"Fn::{name}"
        for name in (
            "And", "Base64", "Cidr", "Contains", "EachMemberEquals", "EachMemberIn", "Equals", "FindInMap", "Flatten",
            "GetAZs", "GetAtt", "GetStackOutput", "If", "ImportValue", "InsertFile", "Invoke", "Join", "Length",
            "Merge", "Not", "Or", "RefAll", "Select", "Split", "Sub", "ToJsonString", "Transform", "ValueOf",
            "UserData", "ValueOfAll",
        )
    },
}  # fmt: skip
"""Short form without `!` → key of the long form."""
SHORT = {long: short for short, long in LONG.items() if short != "Condition"}
JSON_START = re.compile(r"\s*\{")
NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+")
SECTIONS = (
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Globals",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
)
OURS = ("Constants", "Inputs", "Modules", "Packages", "ParameterSchema")
"""Sections that only we know, and take away: see `plan.stack.module`."""
Literal: TypeAlias = "str | int | float | bool | None"


class Text(msgspec.Struct, frozen=True):
    """A template as a file has it. `rewritten`: its meaning must be written anew, because CloudFormation doesn't know
    what the text uses (aliases, merge keys)."""

    body: Template
    text: str
    rewritten: bool = False


def parse(text: str, file: str) -> Text:
    """Raises `Invalid` with line and column, also for what can't be a template."""
    if JSON_START.match(text):
        body: Any = _json(text, file)
        found = Text(body, text)
    else:
        root = compose(text, file)
        reader = Reader(file)
        found = Text(reader.read(root) if root is not None else None, text)  # type: ignore[arg-type]
        if reader.beyond:
            found = msgspec.structs.replace(found, rewritten=True)
    _check(found.body, file)
    return found


def _json(text: str, file: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        # JSON with comments or a trailing comma is YAML: then that parser's word with line and column is the better one
        root = compose(text, file)
        if root is not None:
            return Reader(file).read(root)
        raise Invalid(f"{file}: not JSON: {error}") from error


def _check(body: Any, file: str) -> None:
    if not isinstance(body, dict):
        raise Invalid(f"{file}: expected a template (a mapping with Resources)")
    for key in body:
        if key not in SECTIONS and key not in OURS:
            raise Invalid(f"{file}: no section {key!r} in a template{meant(key, (*SECTIONS, *OURS))}")
    for section in ("Resources", "Parameters", "Outputs", "Conditions", "Mappings", *OURS):
        if not isinstance(body.get(section, {}), dict):
            raise Invalid(f"{file}: {section}: expected a mapping")
    for name, resource in body.get("Resources", {}).items():
        if name.startswith("Fn::"):
            continue
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise Invalid(f"{file}: the resource {name} has no Type")


class Reader:
    """Nodes to JSON values. `beyond`: something in it isn't CloudFormation's."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.beyond = False
        self._made: dict[int, Any] = {}

    def read(self, node: yaml.Node) -> Any:
        """Raises `Invalid`. Aliases give the very same value again."""
        if id(node) in self._made and not isinstance(node, yaml.ScalarNode):
            self.beyond = True
            return self._made[id(node)]
        made = self._plain(node) if node.tag.startswith(STANDARD) or node.tag == "!" else self._function(node)
        self._made[id(node)] = made
        return made

    def _function(self, node: yaml.Node) -> Any:
        short = node.tag.removeprefix("!")
        if short not in LONG:
            raise Invalid(f"{mark(node, self.file)}: no function {node.tag}{meant(short, LONG)}")
        if isinstance(node, yaml.ScalarNode):
            if short == "GetAtt":
                if "." not in node.value:
                    raise Invalid(f"{mark(node, self.file)}: expected !GetAtt Resource.Attribute, found {node.value!r}")
                return {"Fn::GetAtt": node.value.split(".", 1)}
            return {LONG[short]: str(node.value)}
        return {LONG[short]: self._plain(node)}

    def _plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(each) for each in node.value]
        assert isinstance(node, yaml.MappingNode)
        own: dict[str, Any] = {}
        merging = any(key.tag == STANDARD + "merge" for key, _ in node.value)
        inherited: dict[str, Any] = {}
        for key, value in pairs(node, self.file):
            if merging and key == "<<":
                self.beyond = True
                inherited = self._merged(value)
            else:
                own[key] = self.read(value)
        return {**inherited, **own}

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        """What `<<: *anchor` or `<<: [*near, *far]` brings."""
        found: dict[str, Any] = {}
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                raise Invalid(f"{mark(each, self.file)}: expected a mapping after <<")
            found = {**self.read(each), **found}
        return found

    def _scalar(self, node: yaml.ScalarNode) -> Literal:
        text, kind = str(node.value), node.tag.removeprefix(STANDARD)
        try:
            match kind:
                case "null":
                    return None
                case "bool":
                    return bool(yaml.SafeLoader.bool_values[text.lower()])
                case "int":
                    return int(yaml.SafeLoader("").construct_yaml_int(node))
                case "float":
                    number = float(yaml.SafeLoader("").construct_yaml_float(node))
                    if number - number != 0:
                        raise ValueError(text)
                    return number
        except (ValueError, KeyError) as error:
            raise Invalid(f"{mark(node, self.file)}: {text!r} isn't a {kind}") from error
        return text


# --- and back --------------------------------------------------------------------------------------------------------


def as_json(body: Template) -> str:
    """Indented by one, as CloudFormation's console shows it."""
    return msgspec.json.format(msgspec.json.encode(body), indent=1).decode()


def minified(body: Template) -> str:
    """JSON in as few bytes as it can be."""
    return msgspec.json.encode(body).decode()


def as_yaml(body: Template) -> str:
    """With short forms wherever YAML can write them: a short form can't stand directly in another."""
    text: str = yaml.dump(body, Dumper=Writer, sort_keys=False, allow_unicode=True, width=1 << 20)
    return text


BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Writer(BASE):  # type: ignore[misc]
    """PyYAML's emitter with short forms, texts of several lines as blocks, and without aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _mapping(writer: Any, value: dict[str, Any]) -> yaml.Node:
    if len(value) == 1:
        ((key, argument),) = value.items()
        short = SHORT.get(key)
        if short is not None and _may_be_short(short, argument):
            return _short(writer, f"!{short}", argument)
    node: yaml.Node = writer.represent_mapping(STANDARD + "map", value.items())
    return node


def _may_be_short(short: str, argument: Any) -> bool:
    if isinstance(argument, dict):
        return short in ("Transform", "Sub") and "Name" in argument
    if isinstance(argument, list):
        return bool(argument)
    return isinstance(argument, str) and short != "GetAtt"


def _short(writer: Any, tag: str, argument: Any) -> yaml.Node:
    node: yaml.Node
    if isinstance(argument, str):
        node = writer.represent_scalar(tag, argument, style="|" if _is_block(argument) else None)
    elif isinstance(argument, dict):
        node = writer.represent_mapping(tag, argument.items())
    elif tag == "!GetAtt" and len(argument) == 2 and _dotted(*argument):
        node = writer.represent_scalar(tag, ".".join(argument))
    else:
        node = writer.represent_sequence(tag, argument)
    return node


def _dotted(resource: object, attribute: object) -> bool:
    return isinstance(resource, str) and isinstance(attribute, str) and "." not in resource


def _is_block(text: str) -> bool:
    return "\n" in text


def _text(writer: Any, value: str) -> yaml.Node:
    node: yaml.Node
    if _is_block(value):
        node = writer.represent_scalar(STANDARD + "str", value, style="|")
    elif NUMBER.fullmatch(value):
        # YAML's readers don't agree on what is a number
        node = writer.represent_scalar(STANDARD + "str", value, style="'")
    else:
        node = writer.represent_scalar(STANDARD + "str", value)
    return node


Writer.add_representer(dict, _mapping)
Writer.add_representer(str, _text)
