"""Every path of a TOML text has its line."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeport.plan.toml_line import Path, lines

SAMPLE = '''\
a = 1
"q.k" = """
[not]
x = 1"""
b.c.d = [ # comment, with ] and "
  "x]", 'y,',
  { in = { deep = "}" } },
]
[t]
e = {f = 1, g.h = 2}
[t.u."v w"]
i = 1979-05-27 07:32:00
[[rows]]
j = \'\'\'"\'\'\'
[[rows]]
  [[rows.inner]]
  k = -1.5e3
  [rows.sub]
  l = true
'''


def paths(data: Any, at: Path = ()) -> list[Path]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [each for key, value in items for each in [(*at, key), *paths(value, (*at, key))]]


def test_lines_of_a_sample() -> None:
    found = lines(SAMPLE)
    assert set(paths(tomllib.loads(SAMPLE))) <= set(found)
    expected: dict[Path, int] = {
        ("q.k",): 2,
        ("b", "c", "d"): 5,
        ("b", "c", "d", 1): 6,
        ("b", "c", "d", 2, "in", "deep"): 7,
        ("t",): 9,
        ("t", "e", "g", "h"): 10,
        ("t", "u", "v w", "i"): 12,
        ("rows",): 13,
        ("rows", 1): 15,
        ("rows", 1, "inner", 0, "k"): 17,
        ("rows", 1, "sub", "l"): 19,
    }
    assert {path: found[path] for path in expected} == expected


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
scalars = st.integers() | st.booleans() | texts | st.just("]}#,=\n\"'")
keys = texts | st.sampled_from(["a", "b", "web"])
data = st.dictionaries(
    keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
    ),
    max_size=4,
)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(each):04x}" if each in '\\"\n' else each for each in text) + '"'


def written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list():
            return "[" + ", ".join(f"\n  {written(each)} # ]\n" for each in value) + "]"
        case dict():
            return "{" + ", ".join(f"{quoted(key)} = {written(each)}" for key, each in value.items()) + "}"
    return str(value)


@given(data)
def test_any_tables(tables: dict[str, Any]) -> None:
    text, first = "", {}
    for key, value in tables.items():
        first[key] = text.count("\n") + 1
        text += f"{quoted(key)} = {written(value)}\n"
    assert tomllib.loads(text) == tables
    found = lines(text)
    assert set(paths(tables)) == set(found)
    assert {key: found[(key,)] for key in tables} == first
