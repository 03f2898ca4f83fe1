"""Releases, decided: the names of their objects, their numbers, which are good, where a rollback goes. Pure.

Called by `releases` (publish, catalogue) and by `control`.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.release import Release

_RELEASE_KEY = re.compile(r"r([1-9][0-9]*)/release\.json")
_PAGE_KEY = re.compile(r"[0-9]+")


class Pointer(Struct, frozen=True, kw_only=True):
    """Content of a key `<fence>-<seq>` under `current/`: the number of the release."""

    release: int


class LaunchPointer(Struct, frozen=True, kw_only=True):
    """The same under `launch/<group>/`. None: new instances get nothing, for the first release was taken back."""

    release: int | None


# --- names of objects -------------------------------------------------------------------------------------------------


def layer_key(app: str, sha256: str) -> str:
    return f"{app}/layers/{sha256}.tar.zst"


def layer_by_key_key(app: str, key: str) -> str:
    """Names the dependency layer that was built from the inputs whose digest is `key`."""
    return f"{app}/layers/by-key/{key}"


def platform_file_key(app: str, sha256: str) -> str:
    """The text of the homeport.toml with that digest, for as long as a release names it. Among the layers: it is part
    of the slug, which environments share."""
    return f"{app}/layers/platform/{sha256}.toml"


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


def shared_name(app: str, here: str, there: str) -> Conflict:
    """Why an app can't be in two platforms' environments of one name: they would share its releases and config."""
    return Conflict(
        f"{app} is up in {there}, and can't be in {here} too: an app belongs to one platform",
        hint=f'homeport down -e {there}, or keep platform = "{there.partition("/")[0]}" in homeport.toml, '
        "or give the app here another name",
    )


# --- verdicts and rollback --------------------------------------------------------------------------------------------


def good_numbers(told: Sequence[int]) -> list[int]:
    """What `current` pointed to, oldest first, each number once, at its last place."""
    return list(dict.fromkeys(reversed(told)))[::-1]


def rollback_target(running: Release, good: Iterable[Release]) -> Release:
    """The newest good release that is older in origin than what runs: rolling back twice goes back twice, and never
    forth. One of another platform, whose app had this name before, isn't. Raises `NotFound` where there is none."""
    here = running.resolved.place.id
    older = [each for each in good if each.origin < running.origin and each.resolved.place.id == here]
    if not older:
        raise NotFound(
            f"{running.app} in {running.environment} runs {running.id}, and no good release is older: "
            "nothing to go back to",
            hint="homeport release list",
        )
    return max(older, key=lambda each: each.number)
