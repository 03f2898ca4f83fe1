"""What differs between two releases: nothing goes unseen, nothing is made up, nothing secret is said."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from homeport.model.platform import Deploy, Group, Health, Instances, Place, Resolved, Route
from homeport.model.release import Layer, Slug
from homeport.plan.difference import Change, ConfigChange, Difference, Side, Value, difference
from homeport.testing.builder import resolved

few = some.sampled_from
HASHES = few([each * 64 for each in "abc"])
layers = some.builds(
    lambda sha256, kind: Layer(sha256=sha256, kind=kind, size_bytes=1), HASHES, few(["dependencies", "source"])
)
slugs = some.builds(
    Slug,
    layers=some.lists(layers, max_size=2, unique_by=lambda each: each.kind).map(tuple),
    image=few(["one", "two"]),
    commit=few(["1" * 40, "2" * 40]),
    dirty=some.booleans(),
    platform_file=HASHES,
)
groups = some.builds(
    Group,
    name=few(["web", "jobs", "cron"]),
    run=few([("web",), ("web", "worker")]),
    instances=some.builds(Instances, desired=some.integers(1, 3), max=few([3, 10])),
    memory_bytes=few([None, 512_000_000]),
    health=some.builds(Health, path=few([None, "/healthz"]), grace=few([timedelta(seconds=5), timedelta(seconds=30)])),
    balanced=some.booleans(),
)
routes = some.builds(Route, to=few(["web", "jobs"]), path=few(["/", "/blog"]), host=few([None, "a.example"]))
formations = some.builds(
    Resolved,
    app=some.just("shop"),
    place=some.builds(Place, platform=some.just("shop"), name=few(["staging", "production"])),
    groups=some.lists(groups, max_size=3, unique_by=lambda each: each.name).map(tuple),
    routes=some.lists(routes, max_size=2, unique_by=lambda each: (each.host, each.path)).map(tuple),
    deploy=some.builds(Deploy, strategy=few(["replace", "rolling"])),
    processes=some.dictionaries(few(["web", "worker"]), few(["run", "walk"])),
    release_task=few([None, "migrate"]),
)
values = some.one_of(
    some.sampled_from(["red", "blue"]).map(lambda text: Value(digest=f"of {text}", text=text)),
    some.sampled_from(["red", "blue"]).map(lambda text: Value(digest=f"of {text}", secret=True)),
    some.just(Value(digest="ciphertext", secret=True, readable=False)),
)
configs = some.dictionaries(few(["web", "jobs"]), some.dictionaries(few(["A", "B"]), values, max_size=2), max_size=2)
sizes = some.dictionaries(few(["web", "jobs"]), some.integers(1, 5), max_size=2)
sides = some.builds(Side, resolved=formations, slug=slugs, config=configs, sizes=sizes)

OPPOSITE: dict[Any, Any] = {"added": "removed", "removed": "added"}


def turned(found: Difference) -> Difference:
    def turn(each: Change | ConfigChange) -> Change | ConfigChange:
        back = replace(each, old=each.new, new=each.old)
        return replace(back, kind=OPPOSITE.get(each.kind, each.kind)) if isinstance(each, ConfigChange) else back

    sections: dict[str, Any] = {name: tuple(map(turn, getattr(found, name))) for name in found.__struct_fields__}
    return Difference(**sections)


def unordered(found: Difference) -> dict[str, set[Any]]:
    return {name: set(getattr(found, name)) for name in found.__struct_fields__}


@given(sides)
def test_nothing_differs_from_itself(side: Side) -> None:
    assert not difference(side, side)


@given(sides, sides)
def test_the_way_back_is_the_way_turned_round(one: Side, other: Side) -> None:
    assert unordered(difference(other, one)) == unordered(turned(difference(one, other)))


def by_name(side: Side) -> tuple[Any, ...]:
    """All of it that may count, whatever the order."""
    found = side.resolved
    return (
        replace(found, groups=(), routes=()),
        {each.name: each for each in found.groups},
        {(each.host, each.path): each for each in found.routes},
        side.slug,
    )


@given(sides, sides)
def test_no_difference_means_that_nothing_differs(one: Side, other: Side) -> None:
    other = replace(other, resolved=replace(other.resolved, place=one.resolved.place), sizes=one.sizes)
    built = one.slug.layers and other.slug.layers
    if not built:
        other = replace(other, slug=replace(other.slug, layers=one.slug.layers, image=one.slug.image))
    if not difference(one, other):
        assert by_name(one) == by_name(other)


PARTS: tuple[msgspec.Struct, ...] = (
    Group(name="web", run=("web",), memory_bytes=1),
    Health(),
    Instances(),
    Deploy(),
    Route(to="web"),
    Place(platform="shop", name="staging"),
    replace(resolved(), groups=(), routes=()),
    Slug(layers=(Layer(sha256="a", kind="source", size_bytes=1),), image="image", commit="1" * 40),
)
NAMES = {"name", "app", "platform", "subject"}
"""What a thing is called doesn't count by itself."""


def another(value: Any) -> Any:
    """A value that differs from this one; of its type where that matters."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case timedelta():
            return value + timedelta(seconds=1)
        case tuple():
            return (*value, another(value[0])) if value else ("x",)
        case dict():
            return {**value, "x": "x"}
        case msgspec.Struct():
            field = next(each for each in value.__struct_fields__ if each not in NAMES)
            return replace(value, **{field: another(getattr(value, field))})
    return f"{value} else"


@pytest.mark.parametrize("part", PARTS, ids=lambda part: type(part).__name__)
def test_every_field_of_the_model_counts(part: msgspec.Struct) -> None:
    for field in part.__struct_fields__:
        # those of a formation are parts of their own
        if field not in NAMES and field not in ("groups", "routes"):
            changed = replace(part, **{field: another(getattr(part, field))})
            assert difference(whole(part), whole(changed)), f"{type(part).__name__}.{field} goes unseen"


def whole(part: Any) -> Side:
    """A side with the part in it."""
    group = Group(name="web", run=("web",))
    formation, slug = replace(resolved(), groups=(group,)), Slug(layers=(), image="", commit="1" * 40)
    match part:
        case Group():
            formation = replace(formation, groups=(part,))
        case Health():
            formation = replace(formation, groups=(replace(group, health=part),))
        case Instances():
            formation = replace(formation, groups=(replace(group, instances=part),))
        case Deploy():
            formation = replace(formation, deploy=part)
        case Route():
            formation = replace(formation, routes=(part,))
        case Place():
            formation = replace(formation, place=part)
        case Resolved():
            formation = part
        case Slug():
            slug = part
    return Side(resolved=formation, slug=slug, config={})


@given(sides, sides)
def test_a_key_that_is_secret_anywhere_is_never_shown(one: Side, other: Side) -> None:
    secret = {
        key for side in (one, other) for group in side.config.values() for key, each in group.items() if each.secret
    }
    for each in difference(one, other).config:
        shown = {each.old, each.new} - {None}
        assert each.secret == (each.key in secret)
        assert shown == {"***"} if each.secret else "***" not in shown
        assert not any("of " in str(text) for text in shown), "a digest is shown"


@given(sides, sides)
def test_every_variable_of_a_group_on_both_sides_counts(one: Side, other: Side) -> None:
    differing = {
        (key, group)
        for group in one.config.keys() & other.config.keys()
        for key in one.config[group].keys() | other.config[group].keys()
        if one.config[group].get(key) != other.config[group].get(key)
    }
    every = tuple(one.config.keys() | other.config.keys())
    told = {(each.key, group) for each in difference(one, other).config for group in each.groups or every}
    assert differing <= told
