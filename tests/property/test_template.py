"""Any template in, the same meaning out, whichever way it is written."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.plan.stack.template import LONG, as_json, as_yaml, minified, parse

ODD = (
    *("yes", "No", "~", "null", "2010-09-09", "0123", "1e3", "1:30", "0o17", "=", "<<"),
    *("a.b", "${A}", "a\nb\n", " x", "x \ny", "!Ref x", "&a", "- a", "#", "\t", "a: b", "%", "@", "`"),
    *("\x85", "\u2028", "\x00", "😀"),
)
words = st.text(max_size=12) | st.sampled_from(ODD)
texts = words.filter(lambda text: text.isascii() or not any(0xD800 <= ord(char) <= 0xDFFF for char in text))
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | texts


def function(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    arguments = texts | st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=2)
    attribute = st.tuples(texts.filter(lambda text: "." not in text), texts).map(lambda pair: {"Fn::GetAtt": [*pair]})
    return st.tuples(st.sampled_from(sorted(LONG.values())), arguments).map(lambda pair: {pair[0]: pair[1]}) | attribute


values = st.recursive(
    scalars,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4) | function(children),
    max_leaves=20,
)
resources = st.dictionaries(
    texts, st.builds(lambda properties: {"Type": "AWS::X::Y", "Properties": properties}, values), max_size=3
)
templates = st.builds(
    lambda resources, outputs, version: {
        "AWSTemplateFormatVersion": version,
        "Resources": resources,
        "Outputs": outputs,
    },
    resources,
    st.dictionaries(texts, values, max_size=2),
    texts,
)


@settings(max_examples=300, deadline=None)
@given(templates)
def test_any_template_survives_yaml(template: dict[str, object]) -> None:
    text = as_yaml(template)
    assert parse(text, "t.yaml").body == template
    assert not parse(text, "t.yaml").rewritten


@settings(max_examples=100, deadline=None)
@given(templates)
def test_any_template_survives_json(template: dict[str, object]) -> None:
    for text in (as_json(template), minified(template)):
        assert parse(text, "t.json").body == template
        assert msgspec.json.decode(text) == template
