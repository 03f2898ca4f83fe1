"""Cleans an app's part of the store by `plan.retention`. Called by `control.retention`.

Looked at, planned, claimed, looked at again, planned again: only what both plans let go is deleted, while the claim
keeps everybody else from counting on it (`releases.hold`). Two cleaners at once do no harm, nor one that is killed:
what it had not come to goes next time.
"""

from collections.abc import Callable, Collection, Mapping

import msgspec

from homeport.errors import Failed, Invalid, NotFound
from homeport.model.deployment import Entry as JournalEntry
from homeport.model.deployment import Started
from homeport.model.release import Layer, Release
from homeport.model.retention import Removal, Sweep
from homeport.plan.lease import Marker, sequence_of, valid_keys
from homeport.plan.release import LaunchPointer, Pointer, current_prefix, layer_by_key_key, release_numbers
from homeport.plan.retention import GRACE, AppView, EnvironmentView, Stored, plan_store
from homeport.ports.clock import Clock
from homeport.ports.objects import ObjectStore
from homeport.releases import hold
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import decode

Needed = Callable[[str], Mapping[str, Collection[int]]]
"""App → environment → releases that this machine runs, or may start. Asked anew before each deletion is decided."""
ROUNDS = 100


class Pruner:
    """Of one store. Every method raises `Unavailable` where it doesn't answer: what was deleted till then is gone."""

    def __init__(self, store: ObjectStore, clock: Clock, needed: Needed) -> None:
        self.store = store
        self.clock = clock
        self.needed = needed

    def apps(self) -> list[str]:
        """Of which the store holds anything. What begins with an underscore is no app's: history of stacks."""
        return sorted({key.partition("/")[0] for key in self.store.list("") if "/" in key and key[0] != "_"})

    def plan(self, app: str) -> Sweep:
        """What would go now."""
        return plan_store(look(self.store, app, self.clock), self.needed(app), self.clock.now())

    def prune(self, app: str) -> Sweep:
        """What went, and what is kept."""
        gone: list[Removal] = []
        for _ in range(ROUNDS):
            planned = self.plan(app)
            if not planned.going:
                break
            removed = self._round(app, planned)
            gone += removed
            if not removed:
                break
        return Sweep(going=tuple(gone), kept=planned.kept)

    def _round(self, app: str, planned: Sweep) -> list[Removal]:
        began_at = self.clock.monotonic()
        claim = hold.claim(self.store, app, [each.what for each in planned.going])
        gone = []
        try:
            claimed = {each.what for each in planned.going}
            for each in self.plan(app).going:
                if self.clock.monotonic() - began_at > hold.CLAIM_LASTS.total_seconds():
                    break
                if each.what in claimed:
                    self.store.delete(each.what)
                    gone.append(each)
        finally:
            hold.let_go(self.store, claim)
        return gone


def look(store: ObjectStore, app: str, clock: Clock) -> AppView:
    """What an app's part of the store says. The holds come first: one that is gone by the time that the rest is read
    has become a release, or a journal, which is then seen."""
    now = clock.now()
    held: frozenset[str] = frozenset()
    unknown = ""
    try:
        held = frozenset(
            key for entry, note in hold.notes(store, app) if now - entry.modified_at <= GRACE for key in note.keys
        )
    except Failed as error:
        unknown = error.message
    entries = store.entries(f"{app}/")
    objects = {
        each.key: Stored(key=each.key, size_bytes=each.size_bytes, modified_at=each.modified_at) for each in entries
    }
    names = sorted({key.split("/")[1] for key in objects if key.count("/") > 1})
    return AppView(
        app=app,
        objects=objects,
        environments={name: _environment(store, app, name, objects, unknown) for name in names},
        held=held,
        indexed=_indexed(store, app, objects),
    )


def _environment(
    store: ObjectStore, app: str, name: str, objects: Mapping[str, Stored], unknown: str
) -> EnvironmentView:
    releases = {number: _release(store, app, name, number) for number in release_numbers(app, name, objects)}
    seen = EnvironmentView(releases=releases, unknown=unknown)
    try:
        prefix = f"{app}/{name}/"
        told = _valid(store, current_prefix(app, name), objects)
        groups = {f"{key.rpartition('/')[0]}/" for key in objects if key.startswith(f"{prefix}launch/")}
        launch = {}
        for group in groups:
            for key in _valid(store, group, objects)[-1:]:
                launch[group] = (key, decode(store.get(key), LaunchPointer, key).release)
        return msgspec.structs.replace(
            seen,
            told=tuple((key, decode(store.get(key), Pointer, key).release) for key in told),
            launch=launch,
            named=_named(store, f"{prefix}deployments/", objects),
        )
    except (Failed, NotFound, Invalid, ValueError) as error:
        return msgspec.structs.replace(seen, unknown=unknown or str(error))


def _release(store: ObjectStore, app: str, name: str, number: int) -> Release | None:
    """None: it can't be read, or was deleted by another cleaner a moment ago; then nothing follows from it here."""
    try:
        return Catalogue(store).get(app, name, number)
    except (Failed, NotFound):
        return None


def _valid(store: ObjectStore, prefix: str, objects: Mapping[str, Stored]) -> list[str]:
    keys = sorted(key for key in objects if key.startswith(prefix))
    markers = {key: decode(store.get(key), Marker, key) for key in keys if sequence_of(key) == 0}
    return valid_keys(keys, markers)


def _named(store: ObjectStore, prefix: str, objects: Mapping[str, Stored]) -> frozenset[int]:
    """Releases of the newest deployment that has begun."""
    numbers = {key.removeprefix(prefix).partition("/")[0] for key in objects if key.startswith(prefix)}
    for number in sorted(numbers, key=int, reverse=True):
        for key in _valid(store, f"{prefix}{number}/", objects)[:1]:
            started: JournalEntry = msgspec.json.decode(store.get(key), type=JournalEntry)
            if not isinstance(started, Started):
                raise Failed(f"object {key} isn't the beginning of a journal")
            return frozenset({started.release} | ({started.previous} if started.previous is not None else set()))
    return frozenset()


def _indexed(store: ObjectStore, app: str, objects: Mapping[str, Stored]) -> dict[str, str]:
    """What can't be read finds nothing, and stays: a build replaces it."""
    found = {}
    for key in objects:
        if key.startswith(layer_by_key_key(app, "")):
            try:
                found[key] = decode(store.get(key), Layer, key).sha256
            except (Failed, NotFound):
                continue
    return found
