"""What goes and what stays, by reason; and when a disk is nearly full."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from homeport.model.platform import Retention
from homeport.model.release import Release
from homeport.model.retention import Remain, RemainKind, Room
from homeport.plan.release import config_key, current_prefix, layer_by_key_key, layer_key, release_key
from homeport.plan.remains import KEPT_CACHE_BYTES, KEPT_LOG_BYTES, nearly_full, plan_remains
from homeport.plan.retention import KEPT_DEPLOYMENTS, AppView, EnvironmentView, Stored, parts, plan_store
from homeport.testing.builder import NOW, after, release, resolved

HERE = "shop/staging/"
OLD = after(-3 * 86400)


def stored(keys: Iterable[str], at: datetime = OLD) -> dict[str, Stored]:
    return {key: Stored(key=key, size_bytes=10, modified_at=at) for key in keys}


def made(numbers: Iterable[int], *, keep: int = 2) -> dict[int, Release | None]:
    formation = replace(resolved(), retention=Retention(releases=keep))
    return {number: release(number, formation) for number in numbers}


def view(seen: EnvironmentView, *more: str, young: Iterable[str] = (), held: Iterable[str] = ()) -> AppView:
    """Everything is three days old but for `young`."""
    keys = [release_key("shop", "staging", number) for number in seen.releases]
    keys += [key for each in seen.releases.values() if each is not None for key in parts(each)]
    objects = stored([*keys, *more]) | stored(young, NOW)
    return AppView(app="shop", objects=objects, environments={"staging": seen}, held=frozenset(held))


def told(*numbers: int) -> tuple[tuple[str, int], ...]:
    return tuple((f"{current_prefix('shop', 'staging')}{at:08d}-00000001", n) for at, n in enumerate(numbers, 1))


def numbers_kept(seen: AppView, needed: Iterable[int] = ()) -> dict[int, str]:
    kept = plan_store(seen, {"staging": frozenset(needed)}, NOW).kept
    return {int(each.what.split("/")[2][1:]): each.why for each in kept}


def test_good_ones_are_kept_and_each_reason_is_said() -> None:
    seen = EnvironmentView(
        releases=made(range(1, 13)),
        told=told(1, 2, 3, 8),
        launch={f"{HERE}launch/web/": (f"{HERE}launch/web/00000001-00000001", 4)},
        named=frozenset({5}),
    )
    kept = numbers_kept(view(seen, young=[release_key("shop", "staging", 7)]), needed=[6])
    assert kept == {
        8: "current: the last with a good verdict",
        3: "previous: good before the current one",
        4: "what new instances get",
        5: "the newest deployment names it",
        6: "it runs here, or may be started here",
        7: "younger than a day",
        11: "one of the last 2 made",
        12: "the newest: its number isn't given again",
    }


def test_where_a_rollback_goes_is_kept_however_old() -> None:
    releases = made(range(1, 30), keep=1)
    releases[20] = release(20, replace(resolved(), retention=Retention(releases=1)), origin=3)
    seen = EnvironmentView(releases=releases, told=told(1, 2, 3, 19, 20))
    assert numbers_kept(view(seen))[2] == "where a rollback goes"
    assert set(numbers_kept(view(seen))) == {2, 19, 20, 29}


def test_releases_go_before_their_parts_and_shared_parts_stay() -> None:
    releases = made([1, 2, 3, 4], keep=1)
    seen = view(EnvironmentView(releases=releases, told=told(1, 2, 3, 4)))
    index = layer_by_key_key("shop", "f" * 64)
    seen = replace(seen, objects=seen.objects | stored([index]), indexed={index: f"{1:064x}"})
    going = [each.what for each in plan_store(seen, {}, NOW).going]
    gone = [release_key("shop", "staging", 1), release_key("shop", "staging", 2)]
    assert going[:5] == [*gone, index, layer_key("shop", f"{1:064x}"), layer_key("shop", f"{2:064x}")]
    assert not any("/env/" in key for key in going), "the config of those that are kept is the same"


def test_what_is_held_or_young_stays() -> None:
    releases = made([1, 2, 3, 4], keep=1)
    first, second = layer_key("shop", f"{1:064x}"), release_key("shop", "staging", 2)
    seen = view(EnvironmentView(releases=releases, told=told(1, 2, 3, 4)), held=[first, second])
    going = {each.what for each in plan_store(seen, {}, NOW).going}
    assert going == {release_key("shop", "staging", 1)} | {key for key in going if "/current/" in key}
    stray = layer_key("shop", "e" * 64)
    assert stray not in {
        each.what for each in plan_store(view(seen.environments["staging"], young=[stray]), {}, NOW).going
    }


@pytest.mark.parametrize("unknown", ["a release", "a pointer"])
def test_what_something_unreadable_could_name_stays(unknown: str) -> None:
    releases = made(range(1, 9), keep=1)
    if unknown == "a release":
        seen = EnvironmentView(releases=releases | {5: None}, told=told(6, 7, 8))
    else:
        seen = EnvironmentView(releases=releases, told=told(6, 7, 8), unknown="damaged")
    sweep = plan_store(view(seen, layer_key("shop", "d" * 64), f"{HERE}env/{'c' * 64}"), {}, NOW)
    assert not [each for each in sweep.going if "/layers/" in each.what or "/env/" in each.what]
    if unknown == "a pointer":
        assert sweep.going == ()
        assert {each.why for each in sweep.kept} == {"what staging needs isn't known: damaged"}


def test_what_is_not_known_and_what_config_says_stays() -> None:
    seen = EnvironmentView(releases=made([1]), told=told(1))
    strange = [config_key("shop", "staging", 1), f"{HERE}new-kind/1", "shop/layers/other", f"{HERE}r1/notes"]
    assert plan_store(view(seen, *strange), {}, NOW).going == ()


def test_journals_beyond_the_newest_go_from_their_ends_and_the_newest_stays() -> None:
    keys = [f"{HERE}deployments/{n:04d}/{n:08d}-0000000{seq}" for n in range(1, KEPT_DEPLOYMENTS + 3) for seq in (0, 1)]
    going = [each.what for each in plan_store(view(EnvironmentView(), *keys), {}, NOW).going]
    assert going == [keys[1], keys[0], keys[3], keys[2]]


def test_old_leases_and_pointers_go_and_what_counts_stays() -> None:
    launch = [f"{HERE}launch/web/0000000{fence}-0000000{seq}" for fence in (1, 2) for seq in (0, 1)]
    leases = [f"{HERE}lease/0000000{fence}/released" for fence in (1, 2, 3)]
    pointers = [f"{key[:-1]}{seq}" for key, _ in told(1, 2, 3) for seq in (0, 1)]
    seen = EnvironmentView(
        releases=made([2, 3], keep=1), told=told(1, 2, 3), launch={f"{HERE}launch/web/": (launch[-1], 3)}
    )
    going = [each.what for each in plan_store(view(seen, *launch, *leases, *pointers), {}, NOW).going]
    assert going == [*pointers[:2], *launch[:2], *leases[:2]]


# --- the machine ------------------------------------------------------------------------------------------------------


def remain(kind: RemainKind, name: str, hours: float = 50, size: int = 10, **fields: str) -> Remain:
    return Remain(kind=kind, name=name, size_bytes=size, modified_at=NOW - timedelta(hours=hours), **fields)


def test_what_nothing_needs_goes_after_an_hour_files_before_records() -> None:
    sweep = plan_remains(
        [
            remain("layer", "layers/a"),
            remain("layer", "layers/b", needed="r1 has it"),
            remain("release", "state.db/r1"),
            remain("release", "state.db/r2", hours=0.5),
            remain("instance", "instances/web-1"),
            remain("build", "builds/scratch"),
        ],
        {},
        NOW,
    )
    assert [each.what for each in sweep.going] == ["builds/scratch", "instances/web-1", "state.db/r1", "layers/a"]
    assert {each.what: each.why for each in sweep.kept} == {
        "layers/b": "r1 has it",
        "state.db/r2": "younger than an hour",
    }


def test_logs_go_by_the_age_that_their_environment_says_and_all_together_by_size() -> None:
    half = KEPT_LOG_BYTES // 2
    logs = [
        remain("log", "long", 24 * 20, environment="shop/production"),
        remain("log", "default", 24 * 20, environment="shop/staging"),
        remain("log", "new", 1, half),
        remain("log", "newer", 0.5, half),
        remain("log", "too-much", 2, half),
    ]
    kept = {"shop/production": timedelta(days=400)}
    assert [each.what for each in plan_remains(logs[:2], kept, NOW).going] == ["default"]
    assert [each.what for each in plan_remains(logs[2:], kept, NOW).going] == ["too-much"]


def test_caches_are_kept_up_to_a_size() -> None:
    caches = [remain("cache", "large", 1, KEPT_CACHE_BYTES - 5), remain("cache", "small", 1, 5)]
    assert plan_remains(caches, {}, NOW).going == ()
    more = [*caches, remain("cache", "one more", 1, 1)]
    assert [each.what for each in plan_remains(more, {}, NOW).going] == ["large"]


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [(10**9, 10**10, False), (10**9 - 1, 10**10, True), (10**12, 10**14, True), (6 * 10**12, 10**14, False)],
)
def test_a_disk_is_nearly_full_below_a_share_or_a_size(free: int, total: int, full: bool) -> None:
    assert nearly_full(Room(free_bytes=free, total_bytes=total)) is full
