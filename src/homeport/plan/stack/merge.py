"""The one merge rule of settings. Used for directories, stack files and parameter files alike.

The nearest scalar wins; mappings merge deep; a list replaces, or with `!append` comes after what was there; `null`
takes away what was inherited. A resolver (`!env X`) counts as a scalar.
"""

from collections.abc import Sequence
from functools import reduce

from homeport.errors import Invalid
from homeport.model.located import Located, Tagged

APPEND = "append"


def merge(layers: Sequence[Located]) -> Located:
    """The layers over each other, the nearest last. No `!append` and `null` is left in it. Raises `Invalid` for an
    `!append` that isn't a list, or comes to something else."""
    return _settled(reduce(_over, layers))


def _over(far: Located, near: Located) -> Located:
    """`near` laid over `far`."""
    match far.value, near.value:
        case dict() as below, dict() as above:
            both = dict(below)
            for key, value in above.items():
                both[key] = _over(both[key], value) if key in both else value
            return Located(both, near.at)
        case below, Tagged(tag="append", content=content):
            if below is None:
                return _beside(near, far)
            if isinstance(below, Tagged) and below.tag == APPEND:
                return _beside(Located(Tagged(APPEND, _joined(below.content, content)), near.at), far)
            return _beside(_joined(far, content), far)
    return _beside(near, far)


def _beside(near: Located, far: Located) -> Located:
    return Located(near.value, near.at, near.text, (Located(far.value, far.at, far.text), *far.over))


def _joined(far: Located, near: Located) -> Located:
    if not isinstance(near.value, list):
        raise Invalid(f"{near.at}: expected a list after !append")
    if not isinstance(far.value, list):
        raise Invalid(f"{near.at}: !append needs a list to append to; {far.at} isn't one")
    return Located([*far.value, *near.value], near.at)


def _settled(node: Located) -> Located:
    match node.value:
        case Tagged(tag="append", content=content):
            if not isinstance(content.value, list):
                raise Invalid(f"{content.at}: expected a list after !append")
            return _settled(Located(content.value, node.at, node.text, node.over))
        case dict() as entries:
            kept = {key: _settled(value) for key, value in entries.items() if value.value is not None}
            return Located(kept, node.at, node.text, node.over)
        case list() as items:
            return Located([_settled(each) for each in items], node.at, node.text, node.over)
    return node
