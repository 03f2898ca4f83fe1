"""Journals of deployments in the store: no engine need run to read them. Used by `control.deployment`, `control.why`
and the command line."""

from collections.abc import Sequence

import msgspec

from homeport.control.log import FencedLog
from homeport.errors import NotFound
from homeport.model.deployment import Entry
from homeport.ports.objects import ObjectStore


class Journals:
    """Of one app in one environment, by the deployment's number."""

    def __init__(self, store: ObjectStore, app: str, environment: str) -> None:
        self._store = store
        self._app = app
        self._environment = environment
        self._prefix = f"{app}/{environment}/deployments/"

    def all(self) -> list[tuple[Entry, ...]]:
        """Of the deployments that are still known, oldest first."""
        found = (self._entries(number) for number in self._numbers())
        return [entries for entries in found if entries]

    def newest(self) -> int:
        """Number of the newest deployment; 0: there was none. One without a first entry never began."""
        return next((each for each in reversed(self._numbers()) if self._log(each).newest() is not None), 0)

    def read(self, number: int) -> tuple[Entry, ...]:
        """Raises `NotFound`."""
        found = self._entries(number)
        if not found:
            raise NotFound(
                f"{self._app} has no deployment {number} in {self._environment}", hint="homeport deployment list"
            )
        return found

    def append(self, number: int, entry: Entry, *, fence: int) -> None:
        """Raises `Conflict` where a higher fence has written to it."""
        self._log(number).append(fence, msgspec.json.encode(entry))

    def _numbers(self) -> Sequence[int]:
        return sorted({int(key.removeprefix(self._prefix).partition("/")[0]) for key in self._store.list(self._prefix)})

    def _entries(self, number: int) -> tuple[Entry, ...]:
        return tuple(msgspec.json.decode(each, type=Entry) for each in self._log(number).entries())

    def _log(self, number: int) -> FencedLog:
        return FencedLog(self._store, f"{self._prefix}{number:04d}/")
