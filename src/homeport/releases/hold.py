"""Publishers and cleaners that don't know of each other: who is about to name an object that lies in the store holds it
by a note, who is about to delete some claims them by another.

Each writes its own note first and only then looks for the other's, so of two at the same moment at least one sees the
other: a publisher waits until the claim is over, and then looks whether the object is still there; a cleaner leaves
alone what is held. No clock is needed for that. Clocks only end the notes of those who were killed: a claim after
`CLAIM_OVER`, a hold after `plan.retention.GRACE`.

Called by `publish`, `build`, `prune`, and `control.deployment`.
"""

import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import msgspec
from msgspec import Struct

from homeport.errors import Conflict, Failed, NotAllowed, NotFound, Unavailable
from homeport.ports.objects import Entry, ObjectStore
from homeport.system.clock import pause

CLAIM_LASTS = timedelta(minutes=1)
"""A cleaner that got no further within this claims anew."""
CLAIM_OVER = timedelta(minutes=10)
"""A claim as old as this is a dead cleaner's, by the store's clock."""
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05


class Note(Struct, frozen=True, kw_only=True):
    """Content of a hold or a claim."""

    keys: tuple[str, ...]


def hold(store: ObjectStore, app: str, keys: Collection[str], *, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """Key of the note: from now on no cleaning begins to delete these objects, for a day or until the note is deleted.
    Whether they are there must be looked at afterwards. Raises `Unavailable` where a cleaning that goes on has them for
    long."""
    note = f"{_holds(app)}{secrets.token_hex(8)}"
    store.create(note, msgspec.json.encode(Note(keys=tuple(sorted(keys)))))
    waited = 0.0
    while taken := set(keys) & _claimed(store, app, note):
        if waited >= patience_seconds:
            let_go(store, note)
            raise Unavailable(
                f"{min(taken)} is just being removed from the store",
                hint="try again in some minutes",
                retry_after=CLAIM_OVER,
            )
        pause(POLL_SECONDS)
        waited += POLL_SECONDS
    return note


@contextmanager
def holding(
    store: ObjectStore, app: str, keys: Collection[str], *, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[None]:
    """As `hold`, for as long as the block goes on."""
    note = hold(store, app, keys, patience_seconds=patience_seconds)
    try:
        yield
    finally:
        let_go(store, note)


def let_go(store: ObjectStore, note: str) -> None:
    """A store that doesn't answer now, or lets nobody delete, keeps the note: it ends by its age."""
    with suppress(Unavailable, NotAllowed):
        store.delete(note)


def create_part(store: ObjectStore, app: str, key: str, data: bytes) -> None:
    """The object exists, and nothing deletes it for a day: for keys that follow from the content. One that was there
    before is as good, but may be old, and about to go."""
    try:
        store.create(key, data)
    except Conflict:
        hold(store, app, (key,))
        if store.size(key) is None:
            with suppress(Conflict):
                store.create(key, data)


def claim(store: ObjectStore, app: str, keys: Collection[str]) -> str:
    """Key of the note: from now on nobody counts on these objects. Those that somebody had begun to count on are found
    by `notes` afterwards. To be let go of."""
    note = f"{_claims(app)}{secrets.token_hex(8)}"
    store.create(note, msgspec.json.encode(Note(keys=tuple(keys))))
    return note


def notes(store: ObjectStore, app: str) -> list[tuple[Entry, Note]]:
    """Every hold. To be read before what it may have become: a note that is gone by now was let go of after its object
    had been named. Raises `Failed` for one that can't be read."""
    return _notes(store, _holds(app))


def _claimed(store: ObjectStore, app: str, own: str) -> set[str]:
    found = _notes(store, _claims(app))
    if not found:
        return set()
    # by the store's clock alone: that of this machine may be another
    now = next((each.modified_at for each in store.entries(_holds(app)) if each.key == own), None)
    return {key for entry, note in found if now is None or now - entry.modified_at < CLAIM_OVER for key in note.keys}


def _notes(store: ObjectStore, prefix: str) -> list[tuple[Entry, Note]]:
    found = []
    for entry in store.entries(prefix):
        with suppress(NotFound):
            found.append((entry, _read(store, entry.key)))
    return found


def _read(store: ObjectStore, key: str) -> Note:
    try:
        return msgspec.json.decode(store.get(key), type=Note)
    except msgspec.DecodeError as error:
        raise Failed(f"object {key} can't be read as a note: {error}: it was changed or damaged") from error


def _holds(app: str) -> str:
    return f"{app}/layers/held/"


def _claims(app: str) -> str:
    return f"{app}/layers/going/"
