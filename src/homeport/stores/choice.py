"""Which object store a home uses: the one that was stated when it was first used, for ever. Called by wiring.

A home that changed its store would number releases from r1 again, while its engine runs others. So the choice is kept
in `$HOMEPORT_HOME/store.json`, with the variables (none of them secret) that lead to a bucket.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from homeport.errors import Conflict, Invalid, Unavailable
from homeport.system.effect import effect
from homeport.system.home import Home

VARIABLE = "HOMEPORT_STORE"
KEPT = (
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SHARED_CREDENTIALS_FILE",
)


class Choice(Struct, frozen=True, kw_only=True):
    """`store`: a directory's path or an s3:// URL. `variables` hold where the environment doesn't say otherwise."""

    store: str
    variables: dict[str, str] = {}

    @property
    def bucket(self) -> bool:
        return self.store.startswith("s3://")


def remembered(home: Home) -> Choice | None:
    """What the home uses; None: it hasn't been used yet. Raises `Unavailable` for a file that can't be read."""
    try:
        return msgspec.json.decode(home.choice.read_bytes(), type=Choice)
    except FileNotFoundError:
        return Choice(store=str(home.store)) if _in_use(home) else None
    except (OSError, msgspec.DecodeError) as error:
        raise Unavailable(
            f"can't read {home.choice}: {error}", hint='write it again, such as: {"store": "s3://bucket/prefix"}'
        ) from error


def chosen(home: Home, stated: str | None, environ: Mapping[str, str]) -> Choice:
    """What the home uses, or would from now on. Raises `Conflict` where it uses another store than `stated`, `Invalid`
    for what can't be one."""
    known = remembered(home)
    if not stated:
        return known or Choice(store=str(home.store))
    store = _normal(stated)
    if known is not None and known.store != store:
        raise Conflict(
            f"{home.root} uses the store {known.store}, not {store}: a home keeps its store",
            hint=f"unset {VARIABLE}; or another home for the other store: HOMEPORT_HOME=<directory>",
        )
    if known is not None:
        return known
    variables = {each: environ[each] for each in KEPT if environ.get(each)} if store.startswith("s3://") else {}
    return Choice(store=store, variables=variables)


@effect("store.remember")
def remember(home: Home, choice: Choice) -> None:
    """The home uses this store from now on; harmless to repeat."""
    part = home.choice.with_name(f".{home.choice.name}.{os.getpid()}")
    try:
        with open(part, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(msgspec.json.encode(choice) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(home.choice)
    except OSError as error:
        raise Unavailable(f"can't write {home.choice}: {error.strerror}") from error


def _in_use(home: Home) -> bool:
    if home.state.exists():
        return True
    try:
        return any(not each.name.startswith(".") for each in home.store.iterdir())
    except OSError:
        return False


def _normal(stated: str) -> str:
    parts = urlsplit(stated)
    if parts.scheme == "s3":
        return stated.rstrip("/")
    path = unquote(parts.path) if parts.scheme == "file" else stated
    if "://" not in path and Path(path).is_absolute():
        return os.path.normpath(path)
    raise Invalid(
        f"{VARIABLE} is {stated!r}, expected an absolute path or an s3:// URL", hint=f"{VARIABLE}=s3://bucket/prefix"
    )
