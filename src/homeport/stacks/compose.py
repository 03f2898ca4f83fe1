"""From a template's file to what is sent. Called by the planner and by `stack compile`.

What had to be composed (modules, aliases) is sent as text of ours; a template that nothing had to be done to is sent as
it was written, with its comments.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Invalid, NotFound
from homeport.model.located import Located, Tagged
from homeport.model.stack import Stack, Template
from homeport.plan.stack import package, template
from homeport.plan.stack.module.expand import expand, uses_modules
from homeport.plan.stack.module.substitute import MISSING
from homeport.plan.stack.setting import text_of
from homeport.plan.stack.text import decode
from homeport.stacks.remote import SCHEMES, Remote
from homeport.stacks.source import Sources, beside

LARGEST_INLINE_BYTES = 51_200
LARGEST_BYTES = 1_048_576
"""CloudFormation's quotas "Template body size in a request" and "… in an S3 object" (User Guide, quotas)."""


class Composed(Struct, frozen=True, kw_only=True):
    """`text` is what CloudFormation gets, but for the places of `nested` templates, by logical id."""

    body: Template
    text: str
    file: str
    written: bool = False
    """The text is the file's, line by line."""
    nested: dict[str, "Composed"] = {}


class Composer:
    """Templates of a project, each read once. `root`: what relative paths start from; `shown`: how errors call it."""

    def __init__(self, root: Path, shown: str = "", remote: Remote | None = None) -> None:
        self.root = root
        self.shown = shown
        self.sources = Sources(root, shown, remote)
        self._made: dict[tuple[str, str], Composed] = {}
        self._composed: set[str] = set()
        """Templates that use modules: what they are may depend on what is given."""
        self._read: set[str] = set()

    @property
    def files(self) -> frozenset[str]:
        """Templates that were read, nested ones too; modules are `sources`' to say."""
        return frozenset(self._read)

    def compose(self, path: str, given: Mapping[str, Any] = {}) -> Composed:
        """`path`: below `root`, or https:// or s3://. `given`: see `given_by`; only loops look at it. Raises `NotFound`
        for a file that isn't there, `Invalid` for what isn't a template or is too large, `Unavailable`."""
        key = (path, repr(sorted(given.items())) if path in self._composed else "")
        if key not in self._made:
            made = self._compose(path, given)
            key = (path, repr(sorted(given.items())) if path in self._composed else "")
            self._made[key] = made
        return self._made[key]

    def _compose(self, path: str, given: Mapping[str, Any], around: tuple[str, ...] = ()) -> Composed:
        name = f"{self.shown}/{path}" if self.shown and not path.startswith(SCHEMES) else path
        data = self._data(path, name)
        self._read.add(path)
        found = template.parse(decode(data, name), name)
        if uses_modules(found.body):
            self._composed.add(path)
            self.sources.note(name, data)
            found = replace(found, body=expand(found.body, name, self.sources, given), rewritten=True)
        text = template.as_yaml(found.body) if found.rewritten else found.text
        nested = {id: self._nested(inner, path, (*around, path)) for id, inner in package.nested(found.body).items()}
        sendable = _sendable(text, found.body, name)
        return Composed(body=found.body, text=sendable, file=name, written=sendable == found.text, nested=nested)

    def _data(self, path: str, name: str) -> bytes:
        if path.startswith(SCHEMES):
            return self.sources.remote.read(path, "the template")
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"no template {name}") from error
        except OSError as error:
            raise Invalid(f"can't read the template {name}: {error.strerror}") from error

    def _nested(self, inner: str, path: str, around: tuple[str, ...]) -> Composed:
        """Of a template that another one names by a path relative to its own."""
        file = beside(inner, path)
        if file in around:
            raise Invalid(f"templates nest each other in a circle: {' → '.join((*around, file))}")
        return self._compose(file, {}, around)


def given_by(stack: Stack) -> dict[str, Any]:
    """What a stack's parameters are known to be without asking anybody; MISSING: a resolver knows."""
    return {name: _known(node) for name, node in stack.parameters.items()}


def _known(node: Located) -> Any:
    match node.value:
        case list() as items:
            found = [_known(each) for each in items]
            return MISSING if MISSING in found else found
        case dict() | Tagged() | None:
            return MISSING
    return text_of(node)


def sent(body: Template, file: str) -> str:
    """A template that we wrote, as text. Raises `Invalid` for one that is too large."""
    return _sendable(template.as_yaml(body), body, file)


def _sendable(text: str, body: Template, file: str) -> str:
    made = _fitting(text, body)
    size = len(made.encode())
    if size > LARGEST_BYTES:
        hint = "split it into two stacks"
        raise Invalid(f"{file} has {size:,} bytes; CloudFormation takes {LARGEST_BYTES:,}", hint=hint)
    return made


def _fitting(text: str, body: Template) -> str:
    """As few bytes as needed: without layout where that makes it fit."""
    if len(text.encode()) <= LARGEST_INLINE_BYTES:
        return text
    small = template.minified(body)
    return small if len(small) < len(text) else text
