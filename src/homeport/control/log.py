"""A fenced log in the object store: pointers and journals. Used by `control.deployment`; the rule is `plan.lease`'s."""

import msgspec

from homeport.errors import Conflict, NotFound
from homeport.plan.lease import Marker, entry_key, fence_of, sequence_of, valid_keys
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect


class FencedLog:
    """Entries under one prefix (`…/`), appended by lease holders, never rewritten."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self.store = store
        self.prefix = prefix

    def entries(self) -> list[bytes]:
        """The entries that count, oldest first."""
        while True:
            keys = self.store.list(self.prefix)
            try:
                return [self.store.get(key) for key in valid_keys(keys, self._markers(keys))]
            except NotFound:
                continue  # a cleaner removed old ones meanwhile

    def newest(self) -> bytes | None:
        """The last entry that counts; None: there is none."""
        keys = self.store.list(self.prefix)
        good = valid_keys(keys, self._markers(keys))
        return self.store.get(good[-1]) if good else None

    def append(self, fence: int, data: bytes) -> None:
        """One more entry. The first of a fence is preceded by its marker. Raises `Conflict` where a higher fence has
        written here."""
        keys = self.store.list(self.prefix)
        highest = max((fence_of(key) for key in keys), default=0)
        if highest > fence:
            raise Conflict(f"{self.prefix} was taken over: fence {highest}, expected at most {fence}")
        own = [key for key in keys if fence_of(key) == fence]
        if not own:
            marker = Marker(after=max(keys, default=""))
            create_entry(self.store, entry_key(self.prefix, fence, 0), msgspec.json.encode(marker))
        seq = max((sequence_of(key) for key in own), default=0) + 1
        create_entry(self.store, entry_key(self.prefix, fence, seq), data)

    def _markers(self, keys: list[str]) -> dict[str, Marker]:
        found: dict[str, Marker] = {}
        for key in keys:
            if sequence_of(key) == 0:
                try:
                    found[key] = msgspec.json.decode(self.store.get(key), type=Marker)
                except NotFound:
                    continue
        return found


@effect("log.append")
def create_entry(store: ObjectStore, key: str, data: bytes) -> None:
    store.create(key, data)
