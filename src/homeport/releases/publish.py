"""Publishing: the object that makes a release exist is written last, under a number that nobody else can get.

Called by the command line (`deploy`, `config set`, `rollback`, `promote`) and by tests.
"""

import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from homeport.errors import Conflict, Failed, Invalid, NotFound
from homeport.model.release import Release, Snapshot
from homeport.plan.release import layer_key, next_number, platform_file_key, release_key, release_numbers, snapshot_key
from homeport.plan.retention import parts
from homeport.ports.objects import ObjectStore
from homeport.releases.hold import create_part, holding

T = TypeVar("T")


def publish_snapshot(store: ObjectStore, app: str, environment: str, snapshot: Snapshot) -> str:
    """sha256 of the stored snapshot. The same variables give the same object. Raises `Unavailable`."""
    data = encode(snapshot)
    sha256 = hashlib.sha256(data).hexdigest()
    create_part(store, app, snapshot_key(app, environment, sha256), data)
    return sha256


def read_snapshot(store: ObjectStore, app: str, environment: str, sha256: str) -> Snapshot:
    """The variables of a release. Raises `NotFound`, `Failed` if the object was changed, `Unavailable`."""
    key = snapshot_key(app, environment, sha256)
    data = store.get(key)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise Failed(f"config snapshot {key} has digest {found}, expected {sha256}: it was changed or damaged")
    return decode(data, Snapshot, key)


def keep_platform_file(store: ObjectStore, app: str, text: str) -> str:
    """sha256 of the kept homeport.toml: what promoting reads the target's sections from. Raises `Unavailable`."""
    data = text.encode("utf-8", "surrogateescape")
    sha256 = hashlib.sha256(data).hexdigest()
    create_part(store, app, platform_file_key(app, sha256), data)
    return sha256


def read_platform_file(store: ObjectStore, release: Release) -> str:
    """The text of the homeport.toml that a release's slug was released with. Raises `NotFound` for a release older than
    the keeping of it, `Failed` if the object was changed, `Unavailable`."""
    key = platform_file_key(release.app, release.slug.platform_file)
    try:
        data = store.get(key)
    except NotFound as error:
        raise NotFound(
            f"the homeport.toml that {release.app} {release.id} for {release.environment} was released with isn't in "
            "the store: it is too old, or was released elsewhere",
            hint=f"homeport deploy --force -e {release.environment}   # makes a release that has it",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != release.slug.platform_file:
        raise Failed(f"platform file {key} has digest {found}: it was changed or damaged")
    return data.decode("utf-8", "surrogateescape")


def publish(store: ObjectStore, *, app: str, environment: str, make: Callable[[int], Release]) -> Release:
    """The release that `make` gave for the next free number, once it exists. `make` is called again, with another
    number, when somebody else was first. Raises `Failed` if a layer or the snapshot isn't in the store, `Unavailable`;
    then there is no release."""
    keys = store.list(f"{app}/{environment}/", after=f"{app}/{environment}/r")
    number = next_number(release_numbers(app, environment, keys))
    while True:
        release = make(number)
        if (release.app, release.environment, release.number) != (app, environment, number):
            got = f"{release.app}/{release.environment}/{release.id}"
            raise Invalid(f"expected the release {app}/{environment}/r{number}, got {got}")
        try:
            with holding(store, app, parts(release)):
                check_parts(store, release, "isn't published")
                store.create(release_key(app, environment, number), encode(release))
        except Conflict:
            number += 1
            continue
        return release


def create_if_absent(store: ObjectStore, key: str, data: bytes) -> None:
    """The object exists; one that was there before is left as it is: for keys that follow from the content."""
    try:
        store.create(key, data)
    except Conflict:
        return


def encode(value: Struct) -> bytes:
    """The struct as JSON in ASCII, keys sorted: equal values give equal bytes. msgspec's own encoder refuses the
    surrogates that stand for bytes that aren't UTF-8."""
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode("ascii")


def decode(data: bytes, kind: type[T], key: str) -> T:
    """The object as a struct. Raises `Failed` that names the key and what doesn't fit."""
    try:
        return msgspec.convert(json.loads(data), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise Failed(f"object {key} can't be read as {kind.__name__}: {error}: it was changed or damaged") from error


def check_parts(store: ObjectStore, release: Release, so: str) -> None:
    """All that the release needs to run is in the store, each layer in its size; digests are for whoever reads them.
    Raises `Failed` with what isn't, `so` what follows from it; `Unavailable`."""
    wanted: dict[str, int | None] = {
        layer_key(release.app, each.sha256): each.size_bytes for each in release.slug.layers
    }
    wanted[snapshot_key(release.app, release.environment, release.config)] = None
    wrong = []
    for key, size_bytes in wanted.items():
        found = store.size(key)
        if found is None:
            wrong.append(f"{key} isn't in the store")
        elif size_bytes not in (None, found):
            wrong.append(f"{key} has {found} bytes, expected {size_bytes}: it was changed or damaged")
    if wrong:
        raise Failed(
            f"{release.app} {release.id} for {release.environment} {so}: {wrong[0]}",
            details=tuple(wrong[1:]),
            hint="homeport deploy --force   # builds it again; a damaged object must be removed from the store first",
        )
