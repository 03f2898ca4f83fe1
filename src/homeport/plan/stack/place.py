"""Where stacks stand in a project: ids, regions, what a person means by a name. Used by `stacks.project`.

An id is a path: directories, then the stack's name. The first directory is the environment; one that is named as a
region states the region.
"""

import re
from collections.abc import Iterable, Sequence

from homeport.errors import Invalid, NotFound
from homeport.plan.mistake import nearest

REGION = re.compile(r"(af|ap|ca|cn|eu|eusc|il|me|mx|sa|us|us-gov|us-iso|us-isob)(-[a-z]+)+-[0-9]")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
LONGEST_NAME = 128


def is_region(word: str) -> bool:
    return REGION.fullmatch(word) is not None


def directory_of(id: str) -> str:
    """Empty at the top."""
    return id.rpartition("/")[0]


def above(directory: str) -> tuple[str, ...]:
    """The directory with all that it lies in, the top ("") first."""
    parts = directory.split("/") if directory else []
    return ("", *("/".join(parts[: end + 1]) for end in range(len(parts))))


def cloudformation_name(id: str) -> str:
    """The name that a stack gets where none is stated: its id without the region, so that it is called the same in
    each. Raises `Invalid` where CloudFormation wouldn't take it."""
    parts = id.split("/")
    name = "-".join(part for part in parts if not (is_region(part) and part is not parts[-1])).replace("_", "-")
    check_name(name, id)
    return name


def check_name(name: str, id: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise Invalid(
            f"{id}: {name!r} can't be a stack's name: letters, digits, hyphens, a letter first, at most {LONGEST_NAME}",
            hint=f"name: … in {id}.yaml",
        )


def select(words: Sequence[str], ids: Iterable[str]) -> tuple[str, ...]:
    """What is meant by the words, in the order of `ids`; no words: all. A word is an id, a directory (all in it), or
    the end of one id alone (`web`; `production/web` for production/eu-west-1/web). Raises `NotFound`, `Invalid`."""
    there = tuple(ids)
    if not words:
        return there
    meant: set[str] = set()
    for word in words:
        meant.update(_select(word.strip("/"), there))
    return tuple(each for each in there if each in meant)


def _select(word: str, ids: Sequence[str]) -> Iterable[str]:
    if word in ids:
        return (word,)
    inside = [each for each in ids if each.startswith(f"{word}/")]
    if inside:
        return inside
    ends = [each for each in ids if _abbreviates(word, each)]
    if len(ends) > 1:
        raise Invalid(f"{word!r} may be any of {', '.join(ends[:5])}", hint="write more of its path")
    if not ends:
        names = {each: each for each in ids} | {each.rpartition("/")[2]: each for each in ids}
        near = nearest(word, names)
        raise NotFound(
            f"no stack {word!r}" + (f", did you mean {names[near]}?" if near else ""), hint="homeport stack list"
        )
    return ends


def _abbreviates(word: str, id: str) -> bool:
    """Whether the word is the id with directories left out: all before a point, or regions."""
    without = "/".join(part for part in id.split("/") if not is_region(part))
    return any(full == word or full.endswith(f"/{word}") for full in (id, without))


def places(text: str, origin: str) -> tuple[str, ...]:
    """Ids that a reference in the stack `origin` may mean, the nearest first: beside it, then in each directory above;
    from the top where it begins with a slash."""
    if text.startswith("/"):
        return (text[1:],)
    return tuple(f"{each}/{text}" if each else text for each in reversed(above(directory_of(origin))))


def refer(text: str, origin: str, ids: Iterable[str]) -> str:
    """The first of `places` that is there. Raises `NotFound`."""
    there = ids if isinstance(ids, set | frozenset | dict) else set(ids)
    tried = places(text, origin)
    for each in tried:
        if each in there:
            return each
    near = nearest(tried[0], there) or nearest(text, [each.rpartition("/")[2] for each in there])
    raise NotFound(
        f"{origin} refers to the stack {text!r}, which isn't there" + (f", did you mean {near}?" if near else "")
    )
