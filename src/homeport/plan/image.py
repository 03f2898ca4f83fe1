"""Whether what was built on one image runs on another one. Pure. Called by the agent; images are named by
`releases.image`."""

import re
from collections.abc import Iterable

_NUMBERS = re.compile(r"[0-9]+")


def misfits(built_on: str, here: str) -> tuple[str, ...]:
    """What keeps it from running `here`, in words; empty: nothing that the names of the two images tell. The system and
    the architecture must be the same, the libc no older; of the interpreters the first one, which is the system's own,
    must be there in the same minor version, and Node in the same major one."""
    (system, libc, machine, *wanted), (own_system, own_libc, own_machine, *there) = built_on.split(), here.split()
    found = []
    if system != own_system:
        found.append(f"it was built on {system}, this is {own_system}")
    if machine != own_machine:
        found.append(f"it was built for {machine}, this is {own_machine}")
    if (_name(libc) != _name(own_libc)) or _version(own_libc) < _version(libc):
        found.append(f"it was built with {libc}, here is {own_libc}")
    for name, depth in (("python", 2), ("node", 1)):
        needed = next((each for each in wanted if _name(each) == name), None)
        if needed is not None and _version(needed)[:depth] not in {_version(each)[:depth] for each in _of(name, there)}:
            found.append(f"it was built with {needed}, here is {', '.join(_of(name, there)) or f'no {name}'}")
    return tuple(found)


def _of(name: str, parts: Iterable[str]) -> list[str]:
    return [each for each in parts if _name(each) == name]


def _name(part: str) -> str:
    return part.partition("-")[0]


def _version(part: str) -> tuple[int, ...]:
    return tuple(int(each) for each in _NUMBERS.findall(part.partition("-")[2]))
