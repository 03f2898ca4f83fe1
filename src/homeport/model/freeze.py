"""A freeze: until when nothing may be deployed to an environment, kept in the store so that every home sees it."""

from datetime import datetime

from msgspec import Struct


class Freeze(Struct, frozen=True, kw_only=True):
    """What somebody said. `until_at` None: what was said before is lifted."""

    at: datetime
    by: str
    why: str
    until_at: datetime | None
