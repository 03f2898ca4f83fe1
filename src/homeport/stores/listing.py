"""What lies in an object store, through obstore: all but what is in staging, where objects are written before they have
their key. Called by the adapters, `objects` and `s3`.
"""

from collections.abc import Sequence
from datetime import timedelta

import obstore
from obstore.store import LocalStore, S3Store

from homeport.ports.objects import Entry

STAGING = ".staging"
STALE = timedelta(days=1)
"""What lies in staging for so long was left by a process that was killed."""


def listed(store: LocalStore | S3Store, prefix: str, after: str = "") -> Sequence[Entry]:
    """As the port's `entries`, and `list`. Raises what obstore raises."""
    found = [
        Entry(key=each["path"], size_bytes=each["size"], modified_at=each["last_modified"])
        for chunk in obstore.list(store, prefix=prefix.rstrip("/"), offset=after or None)
        for each in chunk
        if not each["path"].startswith(f"{STAGING}/")
    ]
    return sorted(found, key=lambda each: each.key)
