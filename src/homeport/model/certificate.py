"""What a TLS certificate says of itself."""

from datetime import datetime

from msgspec import Struct


class Certificate(Struct, frozen=True, kw_only=True):
    """`names`: host names and addresses that it is for, lower case, `*.` in front of those with any first label."""

    names: tuple[str, ...]
    starts_at: datetime
    ends_at: datetime
    trouble: str = ""
    """Why it is served and not the one that lies where the platform file says; empty: it is that one."""
