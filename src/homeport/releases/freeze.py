"""Freezes in the store: what was said of an environment, numbered, never rewritten; the newest counts.

    _freezes/<platform>/<environment>/000007

Not below an app: one holds for every app of the environment, also for those that come. Called by the command line, and
by `control`.
"""

from homeport.errors import Conflict, NotFound
from homeport.model.freeze import Freeze
from homeport.ports.objects import ObjectStore
from homeport.releases.publish import decode, encode


class Freezes:
    """`environment` is `<platform>/<name>`."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def newest(self, environment: str) -> Freeze | None:
        """What was said last; None: nothing ever was. Raises `Unavailable`, `Failed` where it can't be read."""
        key = max(self.store.list(_prefix(environment)), default=None)
        try:
            return None if key is None else decode(self.store.get(key), Freeze, key)
        except NotFound:
            return None  # the store was emptied meanwhile

    def say(self, environment: str, freeze: Freeze) -> None:
        """It holds from now on, whatever was said before."""
        prefix = _prefix(environment)
        number = max((int(key.removeprefix(prefix)) for key in self.store.list(prefix)), default=0)
        while True:
            number += 1
            try:
                self.store.create(f"{prefix}{number:06d}", encode(freeze))
                return
            except Conflict:
                continue  # somebody else said something just now


def _prefix(environment: str) -> str:
    return f"_freezes/{environment}/"
