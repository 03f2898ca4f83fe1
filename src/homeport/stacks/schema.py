"""What the schemas of resource types say of replacement. Called by the planner, for types that differ.

They come with cfn-lint and are read straight from its files: importing it takes seconds, a file a millisecond.
"""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from homeport.plan.stack.replacement import Schema

PREFIX = "/properties/"
ANYWHERE = "us-east-1"
"""Has every type."""


class Schemas:
    """Of one region. `available` False: cfn-lint isn't installed, and nothing can be predicted."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._directory = _directory()
        self._known: dict[str, Schema | None] = {}

    @property
    def available(self) -> bool:
        return self._directory is not None

    def __call__(self, type: str) -> Schema | None:
        if type not in self._known:
            self._known[type] = self._read(type)
        return self._known[type]

    def _read(self, type: str) -> Schema | None:
        if self._directory is None:
            return None
        digest = _index(self._directory, self.region).get(type) or _index(self._directory, ANYWHERE).get(type)
        said = _document(self._directory / "resources" / f"{digest}.json") if digest else None
        if not isinstance(said, dict):
            return None
        return Schema(
            _paths(said.get("createOnlyProperties")),
            _paths(said.get("conditionalCreateOnlyProperties")),
            tuple(path[0] for path in _paths(said.get("primaryIdentifier")) if len(path) == 1),
        )


@functools.cache
def _directory() -> Path | None:
    """Where cfn-lint keeps them; None: it isn't installed, or keeps them otherwise."""
    found = find_spec("cfnlint")
    if found is None or found.origin is None:
        return None
    directory = Path(found.origin).parent / "data" / "schemas"
    return directory if (directory / "providers").is_dir() else None


@functools.cache
def _index(directory: Path, region: str) -> dict[str, str]:
    """Type → name of its file, in one region; empty: nothing is known of the region."""
    found = _document(directory / "providers" / f"{region}.json")
    return found if isinstance(found, dict) else {}


def _document(path: Path) -> Any:
    """None: there is none."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


def _paths(pointers: Any) -> tuple[tuple[str, ...], ...]:
    said = [each for each in pointers or () if isinstance(each, str) and each.startswith(PREFIX)]
    return tuple(tuple(each.removeprefix(PREFIX).split("/")) for each in said)
