"""How differences are said."""

from datetime import timedelta

from msgspec.structs import replace

from homeport.model.platform import Health, Instances, Place, Route, Tls
from homeport.model.release import Layer, Slug
from homeport.plan.difference import Change, ConfigChange, Side, Value, config_difference, difference
from homeport.testing.builder import resolved

SLUG = Slug(
    layers=(Layer(sha256="a" * 64, kind="source", size_bytes=1),), image="image", commit="1" * 40, subject="First"
)
SIDE = Side(resolved=resolved(), slug=SLUG, config={})


def plain(text: str) -> Value:
    return Value(digest=text, text=text)


def test_formation_routes_health_and_strategy() -> None:
    web = SIDE.resolved.groups[0]
    jobs = replace(resolved(jobs=2).groups[1], memory_bytes=512_000_000)
    more = replace(web, instances=Instances(min=2, desired=4, max=8), health=Health(path="/up"))
    new = replace(
        SIDE.resolved,
        groups=(more, jobs),
        routes=(
            Route(to="web"),
            Route(to="https://b.example", path="/b"),
            Route(to="jobs", host="a.example", path="/jobs", strip_prefix=True),
        ),
        deploy=replace(SIDE.resolved.deploy, strategy="rolling", bake=timedelta(milliseconds=200)),
        processes={**SIDE.resolved.processes, "web": "serve --fast"},
    )
    found = difference(SIDE, replace(SIDE, resolved=new))
    assert found.formation == (
        Change(what="web: instances", old="3 (0–20)", new="4 (2–8)"),
        Change(what="jobs", old=None, new="2 (0–20) of worker, 512 MB each"),
        Change(what="command of web", old="serve", new="serve --fast"),
    )
    assert found.routes == (
        Change(what="/b", old=None, new="https://b.example"),
        Change(what="a.example/jobs", old=None, new="jobs (strip_prefix yes)"),
    )
    assert found.health == (
        Change(what="web: path", old=None, new="/up"),
        Change(what="web: grace", old="10 s", new="30 s"),
    )
    assert [each.what for each in found.strategy] == ["strategy", "bake"]
    assert (found.code, found.settings, found.config) == ((), (), ())


def test_scale_counts_within_the_bounds() -> None:
    scaled = difference(replace(SIDE, sizes={"web": 5}), replace(SIDE, sizes={"web": 50}))
    assert scaled.formation == (Change(what="web: instances", old="5 (0–20)", new="20 (0–20)"),)


def test_what_is_not_built_yet_has_no_layers_to_compare() -> None:
    unbuilt = replace(SLUG, layers=(), image="", commit="2" * 40, subject="Second")
    found = difference(SIDE, replace(SIDE, slug=unbuilt))
    assert found.code == (Change(what="commit", old="1111111111 First", new="2222222222 Second"),)


def test_two_environments_may_differ_in_address_and_certificate() -> None:
    def at(name: str, number: int) -> Side:
        place = Place(
            platform="shop", name=name, listen=f"127.0.0.1:{number}", tls=Tls(certificate=f"{number}", key="k")
        )
        return replace(SIDE, resolved=resolved(place=place))

    assert not difference(at("staging", 1), at("production", 2))
    assert [each.what for each in difference(at("staging", 1), at("staging", 2)).settings] == ["listen", "tls"]
    assert [each.what for each in difference(SIDE, at("production", 2)).settings] == ["tls"]


def test_config_says_what_holds_for_all_groups_once() -> None:
    old = {"web": {"A": plain("1"), "B": plain("1")}, "jobs": {"A": plain("1")}}
    new = {"web": {"A": plain("2"), "B": plain("1")}, "jobs": {"A": plain("2"), "B": plain("3")}}
    assert config_difference(old, new) == (
        ConfigChange(key="A", kind="changed", old="1", new="2", secret=False),
        ConfigChange(key="B", kind="added", old=None, new="3", secret=False, groups=("jobs",)),
    )


def test_a_new_group_with_the_config_of_the_others_is_no_news() -> None:
    old = {"web": {"A": plain("1")}}
    assert config_difference(old, {**old, "jobs": {"A": plain("1")}}) == ()
    (found,) = config_difference(old, {**old, "jobs": {"A": plain("2")}})
    assert (found.kind, found.groups) == ("added", ("jobs",))


def test_secrets_are_equal_different_or_unknown() -> None:
    def one(**fields: object) -> dict[str, dict[str, Value]]:
        return {"web": {"KEY": Value(digest="x", secret=True, **fields)}}  # type: ignore[arg-type]

    assert config_difference(one(), one()) == ()
    other = {"web": {"KEY": Value(digest="y", secret=True)}}
    assert [each.kind for each in config_difference(one(), other)] == ["changed"]
    assert [each.kind for each in config_difference(one(readable=False), other)] == ["unknown"]
    (clear,) = config_difference(one(), {"web": {"KEY": plain("hunter2")}})
    assert (clear.old, clear.new) == ("***", "***")
