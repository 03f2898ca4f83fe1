"""Journals of deployments, read from the store: no engine need run. Called by `control.why` and the command line."""

import msgspec

from homeport.control.log import FencedLog
from homeport.errors import NotFound
from homeport.model.deployment import Entry
from homeport.ports.objects import ObjectStore


def journals(store: ObjectStore, app: str, environment: str) -> list[tuple[Entry, ...]]:
    """Of all deployments, oldest first."""
    found = (_entries(store, app, environment, number) for number in _numbers(store, app, environment))
    return [entries for entries in found if entries]


def newest(store: ObjectStore, app: str, environment: str) -> int:
    """Number of the last deployment that began. Raises `NotFound`."""
    for number in reversed(_numbers(store, app, environment)):
        if _entries(store, app, environment, number):
            return number
    raise NotFound(f"{app} was never deployed to {environment}", hint="homeport deploy")


def read(store: ObjectStore, app: str, environment: str, number: int) -> tuple[Entry, ...]:
    """Of one deployment. Raises `NotFound`."""
    found = _entries(store, app, environment, number)
    if not found:
        raise NotFound(f"{app} has no deployment {number} in {environment}", hint="homeport deployment list")
    return found


def _prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/deployments/"


def _numbers(store: ObjectStore, app: str, environment: str) -> list[int]:
    prefix = _prefix(app, environment)
    return sorted({int(key.removeprefix(prefix).partition("/")[0]) for key in store.list(prefix)})


def _entries(store: ObjectStore, app: str, environment: str, number: int) -> tuple[Entry, ...]:
    log = FencedLog(store, f"{_prefix(app, environment)}{number:04d}/")
    return tuple(msgspec.json.decode(each, type=Entry) for each in log.entries())
