"""Releases, decided: the names of their objects, their numbers, which are good, where a rollback goes. Pure.

Called by `releases` (publish, catalogue) and by `control`.
"""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from homeport.errors import Invalid, NotFound
from homeport.model.release import Release

_RELEASE_KEY = re.compile(r"r([1-9][0-9]*)/release\.json")
_POINTER_KEY = re.compile(r"([0-9]+)-([0-9]+)")
_PAGE_KEY = re.compile(r"[0-9]+")


class Pointer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of a key `<fence>-<seq>`. `release`: what it points to. `seen` only in `<fence>-0`, the first thing that
    a new holder of the lease writes: the last key that it saw ("" for none); keys of lower fences after that are void.
    """

    release: int | None = None
    seen: str | None = None


# --- names of objects -------------------------------------------------------------------------------------------------


def layer_key(app: str, sha256: str) -> str:
    return f"{app}/layers/{sha256}.tar.zst"


def layer_by_key_key(app: str, key: str) -> str:
    """Names the dependency layer that was built from the inputs whose digest is `key`."""
    return f"{app}/layers/by-key/{key}"


def snapshot_key(app: str, environment: str, sha256: str) -> str:
    return f"{app}/{environment}/env/{sha256}"


def release_key(app: str, environment: str, number: int) -> str:
    return f"{app}/{environment}/r{number}/release.json"


def config_prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/config/"


def config_key(app: str, environment: str, number: int) -> str:
    """Padded, so that pages list in the order in which they were written."""
    return f"{config_prefix(app, environment)}{number:08d}"


def current_prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/current/"


def launch_prefix(app: str, environment: str, group: str) -> str:
    return f"{app}/{environment}/launch/{group}/"


def pointer_key(prefix: str, fence: int, seq: int) -> str:
    """Padded, so that keys list in the order of fence, then sequence."""
    return f"{prefix}{fence:08d}-{seq:08d}"


# --- numbers ----------------------------------------------------------------------------------------------------------


def release_numbers(app: str, environment: str, keys: Iterable[str]) -> list[int]:
    """Numbers of all releases among the keys, ascending. r10 comes after r9, unlike in the list of keys."""
    prefix = f"{app}/{environment}/"
    found = (_RELEASE_KEY.fullmatch(key.removeprefix(prefix)) for key in keys if key.startswith(prefix))
    return sorted(int(match[1]) for match in found if match)


def page_numbers(app: str, environment: str, keys: Iterable[str]) -> list[int]:
    """Numbers of all config pages among the keys, ascending."""
    prefix = config_prefix(app, environment)
    tails = (key.removeprefix(prefix) for key in keys if key.startswith(prefix))
    return sorted(int(tail) for tail in tails if _PAGE_KEY.fullmatch(tail))


def next_number(numbers: Iterable[int]) -> int:
    """One above the greatest; 1 for the first. A number is never used again, even if older ones were pruned."""
    return max(numbers, default=0) + 1


def parse_number(text: str | int) -> int:
    """Number of a release from `r12`, `12` or 12. Raises `Invalid`."""
    match = re.fullmatch(r"r?([1-9][0-9]{0,8})", str(text))
    if match is None:
        raise Invalid(f"{text!r} isn't a release, expected something like r12", hint="homeport release list")
    return int(match[1])


# --- pointers ---------------------------------------------------------------------------------------------------------


def pointer_order(key: str) -> tuple[int, int] | None:
    """(fence, sequence) of a pointer's key; None if it is none."""
    match = _POINTER_KEY.fullmatch(key.rpartition("/")[2])
    return (int(match[1]), int(match[2])) if match else None


def live_pointers(pointers: Mapping[str, Pointer]) -> list[Pointer]:
    """Pointers that hold, oldest first: without those that a holder wrote after it had lost its lease (design §4)."""
    found = {order: each for key, each in pointers.items() if (order := pointer_order(key)) is not None}
    ordered = sorted(found.items(), key=lambda item: item[0])
    takeovers = [(order, pointer_order(each.seen)) for order, each in ordered if each.seen is not None]
    live = []
    for order, pointer in ordered:
        later = [seen for taken, seen in takeovers if taken[0] > order[0]]
        if all(seen is not None and order <= seen for seen in later):
            live.append(pointer)
    return live


def good_numbers(pointers: Mapping[str, Pointer]) -> list[int]:
    """Numbers of releases that a good verdict made current, in the order of their verdicts, each once (its last)."""
    told = [each.release for each in live_pointers(pointers) if each.release is not None]
    return list(dict.fromkeys(reversed(told)))[::-1]


# --- rollback ---------------------------------------------------------------------------------------------------------


def rollback_target(running: Release, good: Iterable[Release]) -> Release:
    """The newest good release that is older in origin than what runs: rolling back twice goes back twice, and never
    forth. Raises `NotFound` where there is none."""
    older = [each for each in good if each.origin < running.origin]
    if not older:
        raise NotFound(
            f"{running.app} in {running.environment} runs {running.id}, and no good release is older: "
            "nothing to go back to",
            hint="homeport release list",
        )
    return max(older, key=lambda each: each.number)
