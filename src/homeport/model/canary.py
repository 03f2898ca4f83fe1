"""What a canary deployment asks of an engine: a share of the requests, and what became of them."""

from msgspec import Struct


class Share(Struct, frozen=True, kw_only=True):
    """Of the requests to the group's targets, so many percent go to those of the release; the rest to the others."""

    app: str
    group: str
    release: int
    percent: int


class Answers(Struct, frozen=True, kw_only=True):
    """What became of the requests of some time to one release's targets in a group. `errors`: status 5xx, or no answer;
    those that their client broke off aren't counted at all. `times`: how many of the others took how long, by the
    buckets of `plan.canary`."""

    requests: int = 0
    errors: int = 0
    times: tuple[int, ...] = ()
