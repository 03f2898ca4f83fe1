"""On which line each key of a TOML text stands, which tomllib doesn't tell. Used by plan.platform for its messages.

The text has been accepted by tomllib before it comes here, so this scanner only follows its structure: headers, keys,
and enough of values to find inline tables and array items in them.
"""

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r'"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'" r"|[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\n]*")


def lines(text: str) -> dict[Path, int]:
    """Path of each table, key and array item → its line, from 1. Items of arrays count from 0. `text` is valid TOML."""
    found: dict[Path, int] = {}
    for path, line in _Scanner(text).statements():
        for length in range(1, len(path) + 1):
            found.setdefault(path[:length], line)
    return found


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._rows: dict[Path, int] = {}

    def statements(self) -> Iterator[tuple[Path, int]]:
        table: Path = ()
        while self._skip():
            line = self._line()
            if self._take("[["):
                table = self._header(array=True)
                self._take("]]")
                yield table, line
            elif self._take("["):
                table = self._header(array=False)
                self._take("]")
                yield table, line
            else:
                yield from self._pair(table)

    def _header(self, *, array: bool) -> Path:
        """Path of a header: a name on the way that is an array of tables stands for its last row."""
        path: Path = ()
        keys = self._keys()
        for number, key in enumerate(keys, start=1):
            path = (*path, key)
            if array and number == len(keys):
                self._rows[path] = self._rows.get(path, -1) + 1
            if path in self._rows:
                path = (*path, self._rows[path])
        return path

    def _pair(self, table: Path) -> Iterator[tuple[Path, int]]:
        line = self._line()
        path = (*table, *self._keys())
        yield path, line
        self._take("=")
        yield from self._value(path)

    def _value(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._skip()
        if self._take("{"):
            while self._skip() and not self._take("}"):
                yield from self._pair(path)
                self._skip()
                self._take(",")
        elif self._take("["):
            row = 0
            while self._skip() and not self._take("]"):
                yield (*path, row), self._line()
                yield from self._value((*path, row))
                self._skip()
                self._take(",")
                row += 1
        else:
            match = _STRING.match(self._text, self._at) or _SCALAR.match(self._text, self._at)
            self._at = match.end() if match else len(self._text)

    def _keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        while self._skip() and (match := _KEY.match(self._text, self._at)):
            self._at = match.end()
            keys.append(_name(match[0]))
            self._skip()
            if not self._take("."):
                break
        return tuple(keys)

    def _skip(self) -> bool:
        """Past blanks and comments; whether anything is left."""
        match = _SPACE.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at < len(self._text)

    def _take(self, token: str) -> bool:
        self._skip()
        there = self._text.startswith(token, self._at)
        self._at += len(token) if there else 0
        return there

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _name(key: str) -> str:
    if key[0] not in "\"'":
        return key
    return next(iter(tomllib.loads(f"{key} = 0")))
