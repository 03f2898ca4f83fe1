"""What people say to a deployment that another process drives: words in the store, which whoever drives it reads. Used
by `control.deployment`, for engines whose control plane is in every command.

<app>/<environment>/words/<deployment>/<n>
"""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from homeport.errors import Conflict
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect


class Word(Struct, frozen=True, kw_only=True):
    """Take it back, or let it go on from its gate."""

    said: Literal["abort", "continue"]
    at: datetime
    by: str
    why: str = ""


class Words:
    """Of one app in one environment. What has been said stays; each is read once by one that drives."""

    def __init__(self, store: ObjectStore, app: str, environment: str) -> None:
        self._store = store
        self._prefix = f"{app}/{environment}/words/"
        self._last = ""

    def say(self, number: int, word: Word) -> None:
        """Whoever drives that deployment hears it. Raises `Unavailable`."""
        while True:
            prefix = self._of(number)
            try:
                _say(self._store, f"{prefix}{len(self._store.list(prefix)) + 1:04d}", msgspec.json.encode(word))
            except Conflict:
                continue  # somebody else says something just now
            return

    def hear(self, number: int) -> list[Word]:
        """What nobody in this process has heard yet, in order. Raises `Unavailable`."""
        prefix = self._of(number)
        keys = self._store.list(prefix, after=self._last if self._last.startswith(prefix) else "")
        words = [msgspec.json.decode(self._store.get(each), type=Word) for each in keys]
        self._last = keys[-1] if keys else self._last
        return words

    def _of(self, number: int) -> str:
        return f"{self._prefix}{number:04d}/"


@effect("word.say")
def _say(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)
