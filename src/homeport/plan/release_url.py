"""Where a release lies, as one word: `s3://bucket/prefix/shop/production/r12`, or the like of a directory. Pure.

Called by the agent.
"""

import re

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.release import parse_number

EXAMPLE = "s3://bucket/prefix/shop/production/r12"
_NUMBER = re.compile(r"r?[1-9][0-9]{0,8}")


class ReleaseUrl(Struct, frozen=True, kw_only=True):
    """`store`: what `stores.objects.open_store` takes."""

    store: str
    app: str
    environment: str
    number: int

    def __str__(self) -> str:
        return f"{self.store}/{self.app}/{self.environment}/r{self.number}"


def parse(text: str) -> ReleaseUrl:
    """From a URL or an absolute path; one that goes on to `release.json` means the same. Raises `Invalid`."""
    scheme, mark, rest = text.rpartition("://")
    root, *key = rest.rstrip("/").removesuffix("/release.json").rsplit("/", 3)
    absolute = root.startswith("/") or (mark and scheme != "file" and root)
    if not (absolute and len(key) == 3 and all(key) and _NUMBER.fullmatch(key[-1])):
        raise Invalid(f"release {text!r}: expected an absolute path or a URL such as {EXAMPLE}")
    app, environment, number = key
    return ReleaseUrl(store=f"{scheme}{mark}{root}", app=app, environment=environment, number=parse_number(number))
