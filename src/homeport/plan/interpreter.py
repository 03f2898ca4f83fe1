"""Which Python an app wants, and which of those on a machine it gets. Called by plan.detect and releases."""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeport.errors import Invalid

_VERSION = re.compile(r"3(?:\.[0-9]{1,3}){0,2}")
_WISHES = (
    (".python-version", re.compile(r"^[ \t]*(?:c?python-?)?([^\s#]+)", re.MULTILINE)),
    ("runtime.txt", re.compile(r"^[ \t]*python-([^\s#]+)", re.MULTILINE)),
    (".tool-versions", re.compile(r"^[ \t]*python[ \t]+([^\s#]+)", re.MULTILINE)),
)
_ANY = ("system", "latest")


class Interpreter(Struct, frozen=True, kw_only=True):
    """`version` as "3.11.2"; `path` of the executable."""

    version: str
    path: str


def wanted_python(files: Mapping[str, str]) -> tuple[str | None, str]:
    """The version that an app asks for ("3.11", "3.11.4", or whatever else stands there), and the file that says so;
    (None, "") where none does."""
    for file, pattern in _WISHES:
        lines = (line for line in files.get(file, "").splitlines() if not line.lstrip().startswith("#"))
        if (match := pattern.search("\n".join(lines))) and match[1] not in _ANY:
            return match[1], file
    return None, ""


def choose_python(wanted: str | None, source: str, available: Sequence[Interpreter]) -> tuple[Interpreter, str | None]:
    """The interpreter for an app and a notice to show, or None. `wanted` "3.11" or "3.11.4" (None: whatever comes
    first), said by `source`; `available`: the preferred one first. The minor version must be there; another patch
    level is taken, with a notice. Raises `Invalid` with what is there and the line that accepts one."""
    if not available:
        raise Invalid("no Python on this machine to build with", hint="apt-get install python3 python3-venv")
    if wanted is None:
        return available[0], None
    if not _VERSION.fullmatch(wanted):
        raise _refusal(f'{source} asks for Python "{wanted}"; expected a version of CPython such as "3.11"', available)
    parts = wanted.split(".")
    close = [each for each in available if each.version.split(".")[: min(2, len(parts))] == parts[:2]]
    exact = [each for each in close if each.version.split(".")[: len(parts)] == parts]
    if exact:
        return exact[0], None
    if close:
        return close[0], f"{source} asks for Python {wanted}; {close[0].version} is here and is taken"
    raise _refusal(f"{source} asks for Python {wanted}, which isn't on this machine", available)


def _refusal(message: str, available: Sequence[Interpreter]) -> Invalid:
    there = dict.fromkeys(f"{each.version} ({each.path})" for each in available)
    minor = ".".join(available[0].version.split(".")[:2])
    return Invalid(
        f"{message}; there is {', '.join(there)}",
        hint=f'to accept {minor}, write in homeport.toml:\n[build]\npython = "{minor}"',
    )
