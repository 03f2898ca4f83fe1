"""What an instance leaves in the store before it is ended for not getting ready. Pure. Written by the agent, read by
`engines.aws`."""

from datetime import datetime

from msgspec import Struct


class LastWords(Struct, frozen=True, kw_only=True):
    """`details`: a line each, the app's own last ones among them. `release`: what it tried; None: it didn't come to
    that."""

    instance: str
    group: str
    at: datetime
    release: int | None = None
    message: str
    details: tuple[str, ...] = ()


def last_words_prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/instances/"


def last_words_key(app: str, environment: str, instance: str) -> str:
    return f"{last_words_prefix(app, environment)}{instance}"
