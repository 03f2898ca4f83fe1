"""Settings that are merged, graphs, templates that are evaluated and composed: what holds for any of them."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeport.errors import Invalid
from homeport.model.located import Located, Mark, Tagged
from homeport.model.stack import Template
from homeport.plan.stack.evaluate import evaluate
from homeport.plan.stack.graph import below, levels, order, reverse
from homeport.plan.stack.merge import merge
from homeport.plan.stack.module.expand import expand

AT = Mark("f", 1, 1)
keys = st.sampled_from("abc")


def located(value: Any) -> Located:
    if isinstance(value, dict):
        return Located({key: located(each) for key, each in value.items()}, AT)
    if isinstance(value, list):
        return Located([located(each) for each in value], AT)
    if isinstance(value, tuple):
        return Located(Tagged("append", located(list(value))), AT)
    return Located(value, AT, "" if value is None else str(value))


def plain(node: Located) -> Any:
    if isinstance(node.value, dict):
        return {key: plain(each) for key, each in node.value.items()}
    if isinstance(node.value, list):
        return [plain(each) for each in node.value]
    return node.value


leaves = st.integers(0, 9) | st.none() | st.lists(st.integers(0, 9), max_size=3)
layers = st.dictionaries(
    keys, st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6), max_size=3
)


def expected(far: Any, near: Any) -> Any:
    """The rule as docs/reference/stacks.md has it."""
    if isinstance(far, dict) and isinstance(near, dict):
        return far | {key: expected(far[key], value) if key in far else value for key, value in near.items()}
    return near


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return value


@settings(max_examples=200, deadline=None)
@given(st.lists(layers, min_size=1, max_size=4))
def test_the_nearest_wins_and_mappings_merge(found: list[dict[str, Any]]) -> None:
    wanted: Any = found[0]
    for each in found[1:]:
        wanted = expected(wanted, each)
    merged = merge([located(each) for each in found])
    assert plain(merged) == without_nulls(wanted)
    assert plain(merge([merged, located({})])) == plain(merged)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(), max_size=3), min_size=1, max_size=4))
def test_appended_lists_come_after_what_was_there(lists: list[list[int]]) -> None:
    first, *rest = lists
    merged = merge([located({"a": first}), *(located({"a": tuple(each)}) for each in rest)])
    assert plain(merged) == {"a": [item for each in lists for item in each]}


graphs = st.dictionaries(st.integers(0, 12).map(str), st.sets(st.integers(0, 14).map(str), max_size=4), max_size=13)


@settings(max_examples=300, deadline=None)
@given(graphs)
def test_levels_hold_each_once_after_what_it_needs_or_there_is_a_circle(needs: dict[str, set[str]]) -> None:
    try:
        found = levels(needs)
    except Invalid as error:
        path = error.message.partition(": ")[2].split(" → ")
        assert path[0] == path[-1] == min(path)
        assert all(other in needs[one] for one, other in pairwise(path))
        return
    place = {id: number for number, level in enumerate(found) for id in level}
    assert sorted(order(needs)) == sorted(needs) == sorted(place)
    for id, wanted in needs.items():
        inside = [need for need in wanted if need in needs]
        assert all(place[need] < place[id] for need in inside)
        assert place[id] == (1 + max(place[need] for need in inside) if inside else 0)
        assert set(inside) <= below(needs, [id])
        assert all(id in reverse(needs)[need] for need in inside)


names = st.sampled_from(["Alpha", "Beta", "Gamma"])
pieces = st.sampled_from(["x", "-", "${!Alpha}", "${Alpha}", "${Beta.Arn}", "${AWS::Region}", "${Other}", " "])
functions = st.one_of(
    names.map(lambda name: {"Ref": name}),
    names.map(lambda name: {"Fn::GetAtt": [name, "Arn"]}),
    st.lists(pieces, max_size=4).map(lambda parts: {"Fn::Sub": "".join(parts)}),
    st.just({"Ref": "AWS::NoValue"}),
)
contents = st.recursive(
    st.sampled_from(["text", 1, True]) | functions,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["P", "Q"]), inner, min_size=2, max_size=2)
        | st.lists(inner, min_size=2, max_size=2).map(lambda two: {"Fn::If": ["Open", *two]})
        | st.lists(inner, max_size=3).map(lambda items: {"Fn::Join": ["-", items]})
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: {"Fn::Select": ["0", items]})
    ),
    max_leaves=8,
)
templates = st.builds(
    lambda inner: {
        "Conditions": {"Open": {"Fn::Equals": [{"Ref": "AWS::Region"}, "x"]}},
        "Resources": {
            name: {"Type": "A::B::C", "Properties": {"It": value}}
            for name, value in zip(["Alpha", "Beta"], inner, strict=True)
        },
    },
    st.lists(contents, min_size=2, max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(
    templates, st.dictionaries(st.sampled_from(["Alpha", "Other", "AWS::Region"]), st.sampled_from(["x", "${Beta}"]))
)
def test_what_was_evaluated_is_evaluated(template: Template, values: dict[str, str]) -> None:
    once = evaluate(template, values)
    if "${Beta}" not in values.values():  # a value with a variable in it is a text only where nothing else is open
        assert evaluate(once, values) == once
    assert set(once["Resources"]) == set(template["Resources"])


class Files:
    def __init__(self, body: Template) -> None:
        self.body = body

    def module(self, source: str, by: str) -> tuple[Template, str]:
        return self.body, source

    def packaged(self, package: str, name: str, by: str) -> tuple[Template, str]:
        raise AssertionError

    def component(self, source: str, by: str, given: object) -> tuple[Template, str, dict[str, Any]]:
        raise AssertionError

    def place(self, file: str, *keys: str) -> str:
        return file

    def text(self, path: str, by: str) -> str:
        raise AssertionError


@settings(max_examples=200, deadline=None)
@given(templates)
def test_a_module_is_its_template_with_longer_names(template: Template) -> None:
    outer = {"Modules": {"Mod": {"Source": "m"}}}
    composed = expand(outer, "t", Files(template))
    alone = expand({**template, "Constants": {}}, "t", Files({}))
    text = json.dumps(composed)
    for name in ("Alpha", "Beta", "Open"):
        text = text.replace(f"Mod{name}", name)
    # a text without variables needs no Fn::Sub any more
    assert evaluate(json.loads(text), {})["Resources"] == evaluate(alone, {})["Resources"]
    assert "Modules" not in composed


def test_a_module_that_takes_itself() -> None:
    with pytest.raises(Invalid, match="in a circle: m → m"):
        expand({"Modules": {"Mod": {"Source": "m"}}}, "t", Files({"Modules": {"Inner": {"Source": "m"}}}))
