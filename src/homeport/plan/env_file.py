"""Variables as text: env files (`KEY=value`), directories of one file per key, and what a key and a value may be.
Called by plan.config, which is what other rooms import."""

import re
from collections.abc import Mapping

from homeport.errors import Invalid
from homeport.plan.mistake import Mistake, refuse

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = ("PORT", "HOST")
RESERVED_PREFIX = "HOMEPORT_"
LONGEST_BYTES = 131_072
"""Of `KEY=value` and its closing NUL: what Linux lets a program be started with (MAX_ARG_STRLEN)."""

_START = re.compile(r"(?:export[ \t]+)?([^=\s]+)[ \t]*=[ \t]*")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}
_REST = re.compile(r"[ \t]*(?:#.*)?")


def key_problem(key: str) -> str | None:
    """Why no variable can be called `key`, or None."""
    if not KEY.fullmatch(key):
        return f"a variable's name is made of letters, digits and _, and starts without a digit, found {key!r}"
    if key in RESERVED or key.startswith(RESERVED_PREFIX):
        return f"{key} is set by Homeport itself; choose another name"
    return None


def value_problem(key: str, value: str) -> str | None:
    """Why `value` can't be the value of `key`, or None. Never shows the value."""
    if "\0" in value:
        return f"the value of {key} holds a NUL byte, which no environment variable can"
    try:
        size = len(f"{key}={value}".encode("utf-8", "surrogateescape")) + 1
    except UnicodeEncodeError:
        return f"the value of {key} holds a lone surrogate, which is no text"
    if size > LONGEST_BYTES:
        return f"the value of {key} is too long: expected at most {LONGEST_BYTES} bytes, found {size}"
    return None


def check_variable(key: str, value: str) -> str | None:
    return key_problem(key) or value_problem(key, value)


def parse_env_file(text: str, *, file: str) -> dict[str, str]:
    """The variables of an env file, in its order. Raises `Invalid` with every mistake and its line in `details`."""
    values: dict[str, str] = {}
    first_line: dict[str, int] = {}
    mistakes: list[Mistake] = []
    rows = [row.removesuffix("\r") for row in text.removeprefix("\ufeff").split("\n")]
    at = 0
    while at < len(rows):
        number, row = at + 1, rows[at].lstrip(" \t")
        at += 1
        if not row or row.startswith("#"):
            continue
        match = _START.match(row)
        if match is None:
            mistakes.append(Mistake(number, "expected `KEY=value`"))
            continue
        key = match[1]
        value, problem, more = _value(row[match.end() :], rows[at:])
        at += more
        if key in first_line:
            problem = problem or f"{key} is there twice, first on line {first_line[key]}"
        problem = problem or check_variable(key, value)
        first_line.setdefault(key, number)
        if problem:
            mistakes.append(Mistake(number, problem))
        values[key] = value
    refuse(file, mistakes)
    return values


def _value(start: str, following: list[str]) -> tuple[str, str | None, int]:
    """The value, what is wrong with it, and how many of the `following` lines it took (a quoted value may span
    lines)."""
    quote = start[:1]
    if quote not in ("'", '"'):
        return re.split(r"(?:^|[ \t])#", start, maxsplit=1)[0].rstrip(" \t"), None, 0
    text = start[1:]
    for more in range(len(following) + 1):
        end = _closing(text, quote)
        if end is not None:
            rest = text[end + 1 :]
            problem = None if _REST.fullmatch(rest) else "found more after the closing quote"
            return (text[:end] if quote == "'" else _unescape(text[:end])), problem, more
        if more < len(following):
            text += "\n" + following[more]
    return "", f"the quote {quote} isn't closed", 0


def _closing(text: str, quote: str) -> int | None:
    pattern = r"[^']*" if quote == "'" else r'(?:[^"\\]|\\.)*'
    match = re.compile(pattern + quote, re.DOTALL).match(text)
    return match.end() - 1 if match else None


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text, flags=re.DOTALL)


def parse_env_dir(files: Mapping[str, bytes], *, directory: str) -> dict[str, str | None]:
    """The variables of a directory as `chpst -e` reads it: name of the file → its first line, trailing blanks dropped,
    NUL standing for a newline; None for a file of zero bytes, which unsets. Names that start with a dot are passed
    over. Bytes that are no UTF-8 become surrogate escapes. Raises `Invalid` with every mistake in `details`."""
    values: dict[str, str | None] = {}
    problems: list[str] = []
    for key in sorted(files):
        if key.startswith("."):
            continue
        first = files[key].split(b"\n", 1)[0].rstrip(b" \t").replace(b"\0", b"\n")
        value = first.decode("utf-8", "surrogateescape")
        if problem := check_variable(key, value):
            problems.append(f"{directory}/{key}: {problem}")
        values[key] = value if files[key] else None
    if problems:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise Invalid(f"{directory} has {count}", details=tuple(problems))
    return values
