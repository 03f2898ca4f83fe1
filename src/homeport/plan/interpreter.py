"""Which Python an app wants, and which of those on a machine it gets. Called by plan.detect and releases."""

import re
import tomllib
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
_RANGE = re.compile(r"[<>=!~]")
_CLAUSE = re.compile(r"(==|!=|~=|<=|>=|<|>)[ \t]*([0-9]+(?:\.[0-9]+)*)(\.\*)?")


class Interpreter(Struct, frozen=True, kw_only=True):
    """`version` as "3.11.2"; `path` of the executable."""

    version: str
    path: str


def wanted_python(files: Mapping[str, str]) -> tuple[str | None, str]:
    """The version that an app asks for ("3.11", "3.11.4", a range as ">=3.12", or whatever else stands there), and the
    file that says so; (None, "") where none does."""
    for file, pattern in _WISHES:
        lines = (line for line in files.get(file, "").splitlines() if not line.lstrip().startswith("#"))
        if (match := pattern.search("\n".join(lines))) and match[1] not in _ANY:
            return match[1], file
    try:
        project = tomllib.loads(files.get("pyproject.toml", "")).get("project")
    except tomllib.TOMLDecodeError:
        return None, ""  # whoever needs more of the file says what is wrong with it
    requires = project.get("requires-python") if isinstance(project, dict) else None
    return (requires.strip(), "pyproject.toml") if isinstance(requires, str) and requires.strip() else (None, "")


def choose_python(wanted: str | None, source: str, available: Sequence[Interpreter]) -> tuple[Interpreter, str | None]:
    """The interpreter for an app and a notice to show, or None. `wanted` "3.11", "3.11.4" or ">=3.11,<3.14" (None:
    whatever comes first), said by `source`; `available`: the preferred one first. The minor version must be there;
    another patch level is taken, with a notice. Raises `Invalid` with what is there and the line that accepts one."""
    if not available:
        raise Invalid("no Python on this machine to build with", hint="apt-get install python3 python3-venv")
    if wanted is None:
        return available[0], None
    if _RANGE.match(wanted):
        fitting = [each for each in available if _fits(each.version, wanted)]
        if fitting:
            return fitting[0], None
        raise _refusal(f"{source} asks for Python {wanted}, which isn't on this machine", available)
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
        hint=f'install it below /usr, or accept {minor}: python = "{minor}" below [build] in homeport.toml',
    )


def _fits(version: str, wanted: str) -> bool:
    """Whether the version is in the range, as PEP 440 has it. A clause that isn't understood holds: what installs the
    app looks again."""
    here = _numbers(version)
    return all(
        _holds(operator, here, _numbers(other), open_ended=bool(star))
        for operator, other, star in _CLAUSE.findall(wanted)
    )


def _holds(operator: str, here: tuple[int, ...], other: tuple[int, ...], *, open_ended: bool) -> bool:
    same = here[: len(other)] == other if open_ended else here == other + (0,) * (len(here) - len(other))
    match operator:
        case "==":
            return same
        case "!=":
            return not same
        case "~=":
            return here >= other and here[: len(other) - 1] == other[:-1]
        case ">=" | ">":
            return here >= other if operator == ">=" else here > other and not same
    return here <= other or same if operator == "<=" else here < other


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"[0-9]+", version)[:3])
