"""A composed template made ready to be sent from a stack: nested ones uploaded beside it, large ones by the bucket.
Called by the planner; nothing is uploaded here."""

from collections.abc import Mapping

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.stack import Stack, Template
from homeport.plan.stack import package
from homeport.stacks.compose import LARGEST_INLINE_BYTES, Composed, sent


class Package(Struct, frozen=True, kw_only=True):
    """`text` is sent, or where it is too large lies at `url`. `objects`: what the bucket must hold, by key. `nested`:
    templates of nested stacks, by logical id."""

    body: Template
    text: str
    url: str = ""
    objects: dict[str, str] = {}
    nested: dict[str, "Package"] = {}


def packaged(composed: Composed, stack: Stack) -> Package:
    """Raises `Invalid` where a bucket is needed and none is stated."""
    found = _packaged(composed, stack)
    if len(found.text.encode()) <= LARGEST_INLINE_BYTES:
        return found
    why = f"{composed.file} has {len(found.text.encode()):,} bytes; more than {LARGEST_INLINE_BYTES:,} go by a bucket"
    key = package.key(_prefix(stack, why), found.text)
    return Package(
        body=found.body,
        text=found.text,
        url=package.url(stack.bucket, stack.target.region, key),
        objects={**found.objects, key: found.text},
        nested=found.nested,
    )


def _packaged(composed: Composed, stack: Stack) -> Package:
    if not composed.nested:
        return Package(body=composed.body, text=composed.text)
    inner = {name: _packaged(each, stack) for name, each in composed.nested.items()}
    prefix = _prefix(stack, f"{composed.file} nests templates of this project")
    keys = {name: package.key(prefix, each.text) for name, each in inner.items()}
    region = stack.target.region
    body = package.pointed(composed.body, {name: package.url(stack.bucket, region, key) for name, key in keys.items()})
    objects: dict[str, str] = {}
    for name, each in inner.items():
        objects |= {**each.objects, keys[name]: each.text}
    return Package(body=body, text=sent(body, composed.file), objects=objects, nested=inner)


def _prefix(stack: Stack, why: str) -> str:
    if not stack.bucket:
        raise Invalid(f"{stack.id}: {why}, and no bucket is stated", hint="bucket: … in config.yaml")
    return stack.bucket_prefix


def templates(nested: Mapping[str, Package], path: str = "") -> dict[str, Template]:
    """All nested templates, by the path of their logical ids: `Web`, `Web/Inner`."""
    found: dict[str, Template] = {}
    for name, each in nested.items():
        found[f"{path}{name}"] = each.body
        found |= templates(each.nested, f"{path}{name}/")
    return found
