"""Resolvers: what stands behind `!env`, `!stack_output`, … in settings. Called by the planner.

A resolver is a function (argument, context) → value; nested ones are resolved first, so that an argument is a value.
`BUILT_IN` names ours, imported when one is used; the entry point group `homeport.resolvers` adds others.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from homeport.errors import HomeportError, Invalid
from homeport.model.located import Located, Tagged
from homeport.model.secret import Secret
from homeport.model.stack import Stack, Unknown, Value
from homeport.plan.mistake import meant
from homeport.plan.stack.parameter import as_text
from homeport.plan.stack.reference import split
from homeport.plan.stack.setting import text_of
from homeport.ports.encryption import Encryption
from homeport.ports.lookup import Lookup

ENTRY_POINTS = "homeport.resolvers"
BUILT_IN = {
    "command": "local:command",
    "encrypted_file": "local:encrypted_file",
    "env": "local:env",
    "file": "local:file",
    "join": "text:join",
    "select": "text:select",
    "split": "text:split",
    "sub": "text:sub",
    "acm_certificate": "online:acm_certificate",
    "latest_ami": "online:latest_ami",
    "latest_container": "online:latest_container",
    "secrets_manager": "online:secrets_manager",
    "security_group": "online:security_group",
    "sns_topic": "online:sns_topic",
    "ssm_parameter": "online:ssm_parameter",
    "subnets": "online:subnets",
    "vpc": "online:vpc",
    "stack_output": "online:stack_output",
    "stack_output_external": "online:stack_output_external",
}
"""Tag → module `homeport.stacks.resolve_…`, and the function in it."""


class Context(Struct, frozen=True, kw_only=True):
    """What a resolver may use. `root`: the project's directory `stacks`."""

    stack: Stack
    root: Path
    environ: Mapping[str, str]
    output: Callable[[str, str], str | Unknown]
    """(stack as it is written, output) → its value. Raises `NotFound`."""
    external_output: Callable[[str, str, str, str], str]
    """(CloudFormation's name, output, region or empty) → its value. Raises `NotFound`."""
    lookup: Callable[[], Lookup]
    encryption: Callable[[], Encryption]


Resolver: TypeAlias = Callable[[Value, Context], Value]


def resolve(node: Located, context: Context) -> Value:
    """The value with every resolver in it asked. Raises `Invalid` (with the place), or what the resolver raises."""
    match node.value:
        case Tagged(tag=tag, content=content):
            return _ask(node, tag, content, context)
        case dict() as entries:
            return {key: resolve(each, context) for key, each in entries.items()}
        case list() as items:
            return [resolve(each, context) for each in items]
        case None:
            return ""
    return text_of(node)


def _ask(node: Located, tag: str, content: Located, context: Context) -> Value:
    if tag == "stack_output":
        split(content)  # its mistakes have a place
    argument = resolve(content, context)
    secret = isinstance(argument, dict) and argument.pop("secret", "") == "true"
    open_ones = unknown_in(argument)
    if open_ones:
        return Unknown(open_ones)
    try:
        found = resolver(tag, node)(argument, context)
    except HomeportError as error:
        if str(node.at) in error.message:
            raise
        raise type(error)(f"{node.at}: !{tag}: {error.message}", hint=error.hint, details=error.details) from error
    return hidden(found) if secret else found


def resolver(tag: str, node: Located) -> Resolver:
    """The one of this name. Raises `Invalid`."""
    if tag in BUILT_IN:
        module, _, name = BUILT_IN[tag].partition(":")
        ours: Resolver = getattr(import_module(f"homeport.stacks.resolve_{module}"), name)
        return ours
    from importlib.metadata import entry_points  # heavier than all the rest, and most projects have none

    others = {each.name: each for each in entry_points(group=ENTRY_POINTS)}
    if tag in others:
        theirs: Resolver = others[tag].load()
        return theirs
    known = {*BUILT_IN, *others}
    raise Invalid(f"{node.at}: no resolver !{tag}{meant(tag, known)}", hint="docs/reference/stacks.md lists them")


def unknown_in(value: Value) -> tuple[str, ...]:
    """What a value waits for, in order; empty: it is known."""
    match value:
        case Unknown(of=names):
            return names
        case list():
            parts = value
        case dict():
            parts = list(value.values())
        case _:
            return ()
    return tuple(dict.fromkeys(name for each in parts for name in unknown_in(each)))


def hidden(value: Value) -> Value:
    """The same, not to be shown."""
    match value:
        case str():
            return Secret(value)
        case list():
            return [hidden(each) for each in value]
        case dict():
            return {key: hidden(each) for key, each in value.items()}
    return value


def plain(value: Value, what: str = "a text") -> str:
    """A resolver's argument that must be a text. Raises `Invalid`."""
    if isinstance(value, str):
        return value
    if isinstance(value, Secret):
        return value.reveal()
    raise Invalid(f"expected {what}")


def fields(value: Value, first: str, *others: str) -> dict[str, Value]:
    """Named arguments: a mapping, or only the first one as a text. Raises `Invalid` for what is missing or unknown."""
    if not isinstance(value, dict):
        return {first: value}
    known = (first, *others)
    for key in value:
        if key not in known:
            raise Invalid(f"no argument {key!r}{meant(key, known)}")
    if first not in value:
        raise Invalid(f"expected the argument {first}")
    return value


def text_parts(values: list[Value]) -> tuple[list[str], bool]:
    """Texts of the values, and whether any is a secret."""
    made = [as_text(each) for each in values]
    texts = [each.reveal() if isinstance(each, Secret) else str(each) for each in made]
    return texts, any(isinstance(each, Secret) for each in made)
