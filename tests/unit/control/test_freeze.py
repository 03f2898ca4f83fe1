"""While an environment is frozen nothing is deployed to it; what was deployed is kept well, and goes back."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeport.errors import Conflict, NotFound
from homeport.model.deployment import Started, Verdict
from homeport.model.freeze import Freeze
from homeport.plan.freeze import shown
from homeport.releases.freeze import Freezes
from homeport.testing.world import APP, BETTER, GOOD, NEVER_HEALTHY, Controlled
from tests.memory_world import memory_world


def up(path: Path) -> Controlled:
    world = Controlled(memory_world(path))
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    return world


def freeze(world: Controlled, hours: float | None = 2) -> None:
    now = world.world.clock.now()
    until_at = None if hours is None else now + timedelta(hours=hours)
    Freezes(world.world.store).say(world.world.place.id, Freeze(at=now, by="ada", why="sale", until_at=until_at))


def begun(world: Controlled) -> Started:
    return world.newest.started


def test_nothing_is_deployed_until_it_is_lifted(tmp_path: Path) -> None:
    world = up(tmp_path)
    freeze(world)
    world.restarted(holder="another home")
    with pytest.raises(Conflict, match=r"plain/staging is frozen until .* by ada: sale"):
        world.deploy(BETTER)
    assert begun(world).release == GOOD
    freeze(world, hours=None)
    world.deploy(BETTER)
    assert world.verdict() is Verdict.GOOD
    assert begun(world).over_freeze == ""


def test_it_ends_by_itself(tmp_path: Path) -> None:
    world = up(tmp_path)
    freeze(world, hours=0.001)
    with pytest.raises(Conflict):
        world.deploy(BETTER)
    world.settle(lambda: world.control.freeze(world.world.place.id) is None)
    world.deploy(BETTER)


def test_who_overrides_it_is_recorded(tmp_path: Path) -> None:
    world = up(tmp_path)
    freeze(world)
    place = world.world.place
    world.control.deploy(place, APP, BETTER, by="eve", why="deploy", over_freeze="the login is broken")
    assert world.verdict() is Verdict.GOOD
    assert begun(world).over_freeze == "the login is broken"
    said = [each.message for each in world.world.engine.events(place.id) if each.kind == "freeze_overridden"]
    assert said == ["deployment 2: eve overrides the freeze: the login is broken"]


def test_what_is_said_of_it_is_an_event(tmp_path: Path) -> None:
    world = up(tmp_path)
    place = world.world.place
    world.control.note_freeze(place.id)
    for hours in (2, None):
        freeze(world, hours)
        world.control.note_freeze(place.id)
    said = [(each.kind, each.subject, each.message) for each in world.world.engine.events(place.id)][-2:]
    at = shown(world.world.clock.now() + timedelta(hours=2))
    assert said == [
        ("frozen", "staging", f"frozen until {at}, by ada: sale"),
        ("unfrozen", "staging", "ada lifts the freeze"),
    ]
    with pytest.raises(NotFound):
        world.control.note_freeze("plain/nowhere")


def test_a_reason_without_a_freeze_is_none(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.control.deploy(world.world.place, APP, BETTER, by="eve", why="deploy", over_freeze="to be sure")
    assert begun(world).over_freeze == ""


def test_a_return_and_healing_go_on(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.deploy(NEVER_HEALTHY)
    freeze(world)
    assert world.verdict() is Verdict.FAILED
    world.quiet()
    assert [release for _, release in world.serving()] == [GOOD, GOOD]
    world.world.destroy(world.serving()[0][0])
    world.settle(lambda: len(world.serving()) == 1)
    world.settle(lambda: len(world.serving()) == 2)


def test_two_at_once_get_two_numbers_and_the_later_counts(tmp_path: Path) -> None:
    world = up(tmp_path)
    store = world.world.store
    freeze(world)
    Freezes(store).say("plain/other", Freeze(at=world.world.clock.now(), by="x", why="y", until_at=None))
    freeze(world, hours=None)
    assert store.list("_freezes/plain/staging/") == [f"_freezes/plain/staging/{each:06d}" for each in (1, 2)]
    assert world.control.freeze(world.world.place.id) is None
