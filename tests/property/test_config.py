"""Any value survives an env file; layers behave like dictionaries laid over each other; no secret is shown."""

import string

from hypothesis import given
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.model.release import ConfigValue
from homeport.plan.config import ConfigLayer, check_key, effective, explain, parse_env_dir, parse_env_file

keys = st.sampled_from(["A", "B", "C_1", "_d", "LONG_NAME"])
values = st.text(
    st.one_of(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), st.sampled_from(" '\"\\\n#$"))
)


@given(st.dictionaries(keys, values))
def test_any_value_survives_double_quotes(variables: dict[str, str]) -> None:
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in variables.items()}
    text = "\n".join(f'{key}="{value}" # comment' for key, value in escaped.items())
    assert parse_env_file(text, file="x.env") == variables
    flat = {key: value.replace("\n", "\\n") for key, value in escaped.items()}
    assert (
        parse_env_file("\n".join(f'export {key}="{value}"' for key, value in flat.items()), file="x.env") == variables
    )


@given(st.text(alphabet=st.sampled_from("Ab1= \t\n\r'\"\\#$é\0"), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found, problems = parse_env_file(text, file="x.env"), ()
    except Invalid as error:
        found, problems = {}, error.details
    assert all(line.startswith("x.env:") for line in problems)
    for key, value in found.items():
        check_key(key)
        assert "\0" not in value


@given(st.dictionaries(keys, st.binary(max_size=20)))
def test_a_directory_gives_one_line_without_trailing_blanks(files: dict[str, bytes]) -> None:
    found = parse_env_dir(files, directory="d")
    assert found.keys() == files.keys()
    for key, value in found.items():
        assert (value is None) == (files[key] == b"")
        if value is not None:
            line = value.encode("utf-8", "surrogateescape").replace(b"\n", b"\0")
            assert files[key].split(b"\n")[0].rstrip(b" \t") == line


texts = st.text(string.ascii_lowercase, max_size=3)
said = st.none() | st.builds(ConfigValue, text=texts.map("value-{}".format), secret=st.booleans())
layers = st.lists(st.dictionaries(keys, said), max_size=4).map(
    lambda rows: [ConfigLayer(name=f"layer {number}", values=values) for number, values in enumerate(rows)]
)


@given(layers)
def test_layers_lie_over_each_other(layers: list[ConfigLayer]) -> None:
    laid: dict[str, ConfigValue | None] = {}
    for layer in layers:
        laid |= layer.values
    expected = {key: value.text for key, value in laid.items() if value is not None}
    result = effective(layers)
    assert {key: value.text for key, value in result.items()} == expected
    for key, value in result.items():
        last = [layer for layer in layers if key in layer.values][-1]
        assert value.layer == last.name


@given(layers)
def test_explanation_agrees_and_shows_no_secret(layers: list[ConfigLayer]) -> None:
    result = effective(layers)
    rows = {row.key: row for row in explain(layers)}
    assert {key for key, row in rows.items() if row.value is not None} == set(result)
    for key, row in rows.items():
        assert len(row.overrode) + 1 == sum(key in layer.values for layer in layers)
        shown = [row.value, *(value for _, value in row.overrode)]
        if any(value and value.secret for layer in layers for at, value in layer.values.items() if at == key):
            assert set(shown) <= {"***", None}
        elif key in result:
            assert (row.value, row.layer) == (result[key].text, result[key].layer)
