"""Resolvers that put values together: !join, !split, !select, !sub."""

import re

from homeport.errors import Invalid
from homeport.model.secret import Secret
from homeport.model.stack import Value
from homeport.plan.mistake import instead
from homeport.stacks.resolver import Context, plain, text_parts

VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")


def join(argument: Value, context: Context) -> Value:
    """`!join [",", [a, b]]` → `a,b`."""
    match argument:
        case [str() as between, list() as items]:
            texts, secret = text_parts(items)
            return Secret(between.join(texts)) if secret else between.join(texts)
    raise Invalid('expected [separator, [values]], such as !join [",", [a, b]]')


def split(argument: Value, context: Context) -> Value:
    """`!split [",", "a,b"]` → a list."""
    match argument:
        case [str() as between, (str() | Secret()) as text] if between:
            parts = plain(text).split(between)
            return [Secret(each) for each in parts] if isinstance(text, Secret) else list(parts)
    raise Invalid('expected [separator, text], such as !split [",", "a,b"]')


def select(argument: Value, context: Context) -> Value:
    """`!select [0, [a, b]]` → `a`; -1 is the last."""
    match argument:
        case [str() as index, list() as items] if re.fullmatch(r"-?[0-9]+", index):
            if not -len(items) <= int(index) < len(items):
                raise Invalid(f"there is no value {index} among {len(items)}")
            found: Value = items[int(index)]
            return found
    raise Invalid("expected [number, [values]], such as !select [0, [a, b]]")


def sub(argument: Value, context: Context) -> Value:
    """`!sub "${environment}-${Name}"`: the stack's variables; `!sub [text, {Name: value}]`: more. `${!x}` is `${x}`."""
    own: dict[str, Value] = {}
    text = argument
    match argument:
        case [first, dict() as second]:
            text, own = first, second
    if not isinstance(text, str):
        raise Invalid('expected a text, or [text, {name: value}], such as !sub "${environment}-web"')
    values: dict[str, Value] = {**context.stack.variables, **own}
    secret = False

    def put(found: re.Match[str]) -> str:
        nonlocal secret
        literal, name = found.groups()
        if literal:
            return "${" + name + "}"
        if name not in values:
            raise Invalid(f"no variable {name!r}{instead(name, values)}")
        (made,), is_secret = text_parts([values[name]])
        secret = secret or is_secret
        return made

    made = VARIABLE.sub(put, text)
    return Secret(made) if secret else made
