#!/usr/bin/env python3
"""Writes src/homeport/agent/models from the installed botocore's: what the agent asks for, and nothing else. A test
fails where the two have drifted apart.

`--check`: writes nothing, exit code 1 where the files aren't what would be written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from botocore.loaders import Loader

from homeport.agent.service import CALLS, MODELS


def files() -> dict[Path, bytes]:
    """By path, what is in it."""
    loader, found = Loader(), {}
    for service, names in CALLS.items():
        rules = loader.load_service_model(service, "endpoint-rule-set-1")
        pages = loader.load_service_model(service, "paginators-1")["pagination"]
        made = {
            "service-2": _fewer(loader.load_service_model(service, "service-2"), names),
            "endpoint-rule-set-1": rules,
        }
        if paged := {name: pages[name] for name in names if name in pages}:
            made["paginators-1"] = {"pagination": paged}
        for kind, each in made.items():
            found[MODELS / service / f"{kind}.json"] = msgspec.json.encode(each) + b"\n"
    return found


def _fewer(model: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Those operations, and what they are made of."""
    operations = {name: model["operations"][name] for name in names}
    needed: dict[str, Any] = {}
    left = list(_shapes(list(operations.values())))
    while left:
        name = left.pop()
        if name not in needed:
            needed[name] = model["shapes"][name]
            left += _shapes(needed[name])
    shapes = {name: needed[name] for name in sorted(needed)}
    found: dict[str, Any] = _unspoken(model | {"operations": operations, "shapes": shapes})
    return found


def _shapes(said: Any) -> Iterator[str]:
    """Names of all that it refers to."""
    if isinstance(said, dict):
        if isinstance(said.get("shape"), str):
            yield said["shape"]
        for each in said.values():
            yield from _shapes(each)
    elif isinstance(said, list):
        for each in said:
            yield from _shapes(each)


def _unspoken(said: Any) -> Any:
    """Without its documentation."""
    if isinstance(said, dict):
        plain = {key: each for key, each in said.items() if key != "documentation" or not isinstance(each, str)}
        return {key: _unspoken(each) for key, each in plain.items()}
    return [_unspoken(each) for each in said] if isinstance(said, list) else said


if __name__ == "__main__":
    if "--check" in sys.argv:
        there = {path: path.read_bytes() for path in MODELS.glob("*/*.json")}
        sys.exit(0 if there == files() else 1)
    for path, data in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
