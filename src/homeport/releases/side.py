"""Releases made comparable for `plan.difference`: secrets become digests that tell nothing outside this process.

Called by the command line.
"""

import hmac
import secrets
from collections.abc import Mapping

from homeport.errors import Invalid, Unavailable
from homeport.model.release import ConfigValue, Release, Snapshot
from homeport.plan.difference import Side, Value
from homeport.ports.encryption import Encryption
from homeport.ports.objects import ObjectStore
from homeport.releases.publish import read_snapshot

_KEY = secrets.token_bytes(32)
"""Of all digests: short secrets could be guessed from plain ones."""


def side_of(
    release: Release, store: ObjectStore, encryption: Encryption, *, sizes: Mapping[str, int] | None = None
) -> Side:
    """The release as it can be compared. `sizes`: group → what `homeport scale` asked for. Raises `NotFound`, `Failed`
    for a damaged snapshot, `Unavailable`."""
    snapshot = read_snapshot(store, release.app, release.environment, release.config)
    return Side(
        resolved=release.resolved,
        slug=release.slug,
        config=comparable(snapshot, encryption),
        sizes=dict(sizes or {}),
    )


def comparable(snapshot: Snapshot, encryption: Encryption) -> dict[str, dict[str, Value]]:
    """Group → key → value. Secrets are encrypted anew each time that they are set, so clear texts are compared."""
    seen = {value for values in snapshot.groups.values() for value in values.values()}
    known = {value: _value(value, encryption) for value in seen}
    return {group: {key: known[value] for key, value in values.items()} for group, values in snapshot.groups.items()}


def _value(value: ConfigValue, encryption: Encryption) -> Value:
    if not value.secret:
        return Value(digest=_digest(value.text), text=value.text)
    try:
        return Value(digest=_digest(encryption.decrypt(value.text).reveal()), secret=True)
    except (Unavailable, Invalid):
        return Value(digest=_digest(value.text), secret=True, readable=False)


def _digest(text: str) -> str:
    return hmac.digest(_KEY, text.encode("utf-8", "surrogateescape"), "sha256").hex()
