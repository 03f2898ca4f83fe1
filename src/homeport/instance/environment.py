"""A process's environment variables as files of the sandbox, layer over layer, for `chpst -e`.

Called by `assemble`. What chpst can't carry (it strips trailing blanks) goes into one file of shell assignments that
the start script reads; so every value without a NUL byte arrives exactly.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeport.errors import Invalid

PRIVATE = "/run/homeport"
"""Where the sandbox has what Homeport puts there: in memory or read-only."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE_LIMIT_BYTES = 128 * 1024
_TOTAL_LIMIT_BYTES = 1536 * 1024


class Environment(Struct, frozen=True):
    """`files` (path inside → content) go into `SandboxSpec.files`; `directories` are chpst's, outermost first; `exact`
    is the path of the assignments, None where none are needed."""

    files: dict[str, bytes]
    directories: tuple[str, ...]
    exact: str | None


def environment_files(layers: Sequence[tuple[str, Mapping[str, str | bytes]]]) -> Environment:
    """The files for named layers (`common`, then the environment's, then the group's: later ones win). Text stands for
    its UTF-8 bytes, with surrogate escapes. Raises `Invalid` for names and values that no process could be given."""
    values = [(layer, key, _bytes(key, value)) for layer, variables in layers for key, value in variables.items()]
    winning = {key: value for _, key, value in values}
    _check_total(winning)
    files: dict[str, bytes] = {}
    directories: dict[str, None] = {}
    for number, (layer, variables) in enumerate(layers):
        directory = f"{PRIVATE}/env/{number}-{layer}"
        for key, value in variables.items():
            if _survives(winning[key]):
                files[f"{directory}/{key}"] = _encoded(_bytes(key, value))
                directories[directory] = None
    inexact = {key: value for key, value in winning.items() if not _survives(value)}
    if not inexact:
        return Environment(files, tuple(directories), None)
    exact = f"{PRIVATE}/env/exact"
    lines = (b"export %s='%s'\n" % (key.encode(), value.replace(b"'", b"'\\''")) for key, value in inexact.items())
    return Environment(files | {exact: b"".join(lines)}, tuple(directories), exact)


def _bytes(key: str, value: str | bytes) -> bytes:
    if not _NAME.fullmatch(key):
        raise Invalid(f"config name {key!r}: expected a letter or underscore, then letters, digits and underscores")
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if b"\0" in data:
        raise Invalid(f"config {key}: holds a NUL byte, which no environment variable can")
    size = len(key) + len(data) + 2
    if size > _VALUE_LIMIT_BYTES:
        raise Invalid(f"config {key}: {size} bytes, expected at most {_VALUE_LIMIT_BYTES} (Linux's limit for one)")
    return data


def _check_total(values: Mapping[str, bytes]) -> None:
    total = sum(len(key) + len(value) + 2 for key, value in values.items())
    if total > _TOTAL_LIMIT_BYTES:
        raise Invalid(f"config of {total} bytes, expected at most {_TOTAL_LIMIT_BYTES} (a process can't be given more)")


def _survives(value: bytes) -> bool:
    """Whether `chpst -e` gives the value back as it was."""
    return not value.endswith((b" ", b"\t"))


def _encoded(value: bytes) -> bytes:
    """As chpst wants it: NUL for newline; an empty file would unset the variable."""
    return value.replace(b"\n", b"\0") or b"\n"
