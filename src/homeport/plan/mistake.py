"""Mistakes in a text that somebody wrote, collected with their lines, refused together. Used by plan's parsers."""

import difflib
from collections.abc import Iterable

from msgspec import Struct

from homeport.errors import Invalid


class Mistake(Struct, frozen=True, order=True):
    """`line` counts from 1; 0: it concerns the file as a whole."""

    line: int
    text: str


def refuse(file: str, mistakes: Iterable[Mistake]) -> None:
    """Nothing where there are none. Raises `Invalid` with one line of `details` per mistake, in the file's order."""
    found = sorted(set(mistakes))
    if not found:
        return
    count = "1 mistake" if len(found) == 1 else f"{len(found)} mistakes"
    where = (f"{file}:{each.line}" if each.line else file for each in found)
    lines = tuple(f"{place}: {each.text}" for place, each in zip(where, found, strict=True))
    raise Invalid(f"{file} has {count}", details=lines)


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was probably meant, or None."""
    folded = {each.lower(): each for each in sorted(names)}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    # "prod" for "production": too short for difflib.
    close = close or [each for each in folded if len(word) >= 3 and each.startswith(word.lower())]
    return folded[close[0]] if len(close) == 1 else None


def meant(word: str, names: Iterable[str]) -> str:
    """`, did you mean "x"?` to append to a message; empty where nothing is near."""
    name = nearest(word, names)
    return f', did you mean "{name}"?' if name else ""


def instead(word: str, names: Iterable[str]) -> str:
    """`, did you mean "x"?`, or where nothing is near `; there is x, y`: for names that people choose themselves."""
    there = tuple(names)
    return meant(word, there) or f"; there is {', '.join(there) or 'none'}"
