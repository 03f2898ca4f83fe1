"""What an instance leaves in the store before it goes: why it never got ready, and what its processes wrote. Pure.
Written by the agent, read by `engines.aws`. The bucket's own rule takes what is below `LEFT` after a while."""

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


LEFT = "_instances/"
"""No app has such a name."""


def last_words_prefix(app: str, environment: str) -> str:
    return f"{LEFT}{app}/{environment}/words/"


def last_words_key(app: str, environment: str, instance: str) -> str:
    return f"{last_words_prefix(app, environment)}{instance}"


def left_log_prefix(app: str, environment: str, instance: str) -> str:
    """Of the pieces of its log, a line a document, oldest first: it leaves one each time that it is stopped."""
    return f"{LEFT}{app}/{environment}/logs/{instance}/"


def left_log_key(app: str, environment: str, instance: str, at: datetime) -> str:
    return f"{left_log_prefix(app, environment, instance)}{at:%Y-%m-%dT%H:%M:%S.%f}"
