"""Journals of deployments, read from the store: no engine need run. Called by `control.why` and the command line."""

import msgspec

from homeport.control.log import FencedLog
from homeport.errors import NotFound
from homeport.model.deployment import Entry
from homeport.ports.objects import ObjectStore


def journals(store: ObjectStore, app: str, environment: str) -> list[tuple[Entry, ...]]:
    """Of all deployments, oldest first."""
    prefix = _prefix(app, environment)
    numbers = sorted({int(key.removeprefix(prefix).partition("/")[0]) for key in store.list(prefix)})
    found = (_entries(store, f"{prefix}{number:04d}/") for number in numbers)
    return [entries for entries in found if entries]


def read(store: ObjectStore, app: str, environment: str, number: int) -> tuple[Entry, ...]:
    """Of one deployment. Raises `NotFound`."""
    found = _entries(store, f"{_prefix(app, environment)}{number:04d}/")
    if not found:
        raise NotFound(f"{app} has no deployment {number} in {environment}", hint="homeport deployment list")
    return found


def _prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/deployments/"


def _entries(store: ObjectStore, prefix: str) -> tuple[Entry, ...]:
    return tuple(msgspec.json.decode(each, type=Entry) for each in FencedLog(store, prefix).entries())
