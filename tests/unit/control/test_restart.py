"""A control plane that was killed: the next one of the same name knows no more than the store and the engine hold."""

import contextlib
from pathlib import Path

import pytest

from homeport.control.lease import Lease
from homeport.control.log import FencedLog
from homeport.errors import Conflict
from homeport.model.deployment import Phase, Verdict
from homeport.plan.lease import TIME_TO_LIVE, entry_key, read_lease
from homeport.releases.catalogue import Catalogue
from homeport.testing.world import APP, BETTER, GOOD, Controlled
from tests.memory_world import memory_world

OTHER = 6
LAUNCH = "plain/staging/launch/web/"


def up(path: Path) -> Controlled:
    world = Controlled(memory_world(path))
    world.deploy(GOOD)
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    return world


def test_without_a_deployment_it_keeps_the_fleet(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.restarted()
    world.world.destroy("web-1")
    world.settle(lambda: [id_ for id_, _ in world.serving()] == ["web-2", "web-3"])


def left_before_current_moved(world: Controlled) -> None:
    """As if it had been killed between the last entry and what follows it."""
    store, prefix = world.world.store, "plain/staging/"
    (released,) = (key for key in store.list(f"{prefix}lease/") if key.endswith("/released"))
    store.delete(released)
    store.create(released.replace("released", "00000001"), b'{"holder":"test","by":"tester","since_at":""}')
    for key in store.list(f"{prefix}current/"):
        store.delete(key)


def test_what_follows_the_verdict_is_made_up_for(tmp_path: Path) -> None:
    world = up(tmp_path)
    store, prefix = world.world.store, "plain/staging/"
    left_before_current_moved(world)
    world.restarted()
    world.settle(lambda: read_lease(store.list(f"{prefix}lease/")).released)
    assert FencedLog(store, f"{prefix}current/").newest() == b'{"release":1}'


def test_what_another_left_undone_is_made_up_for_once_it_must_be_dead(tmp_path: Path) -> None:
    world = up(tmp_path)
    left_before_current_moved(world)
    control, place = world.restarted(holder="another"), world.world.place.id
    for _ in range(2):
        with pytest.raises(Conflict, match="is being changed by tester") as refused:
            control.settle(place, APP)
    assert refused.value.retry_after == TIME_TO_LIVE
    world.world.clock.advance(20)  # type: ignore[attr-defined]
    control.settle(place, APP)
    assert Catalogue(world.world.store).good(APP, "staging") == [GOOD]
    assert read_lease(world.world.store.list("plain/staging/lease/")).released
    before = world.world.store.list("plain/staging/")
    control.settle(place, APP)
    assert world.world.store.list("plain/staging/") == before, "nothing is left to do"


def test_the_first_deployment_goes_on_before_there_is_any_instance(tmp_path: Path) -> None:
    world = Controlled(memory_world(tmp_path))
    world.deploy(GOOD)
    world.restarted()
    world.settle(lambda: len(world.serving()) == 2)


def test_a_deployment_that_never_began_is_none(tmp_path: Path) -> None:
    world = up(tmp_path)
    journal = "plain/staging/deployments/0002/"
    world.world.store.create(entry_key(journal, 2, 0), b'{"after":""}')
    world.restarted()
    assert world.newest.started.number == 1
    assert world.deploy(BETTER) == 2
    assert world.verdict() is Verdict.GOOD


def test_one_that_hung_while_others_deployed_moves_nothing_back(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.BAKE)
    hung = world.control.environments[world.world.place.id].app(APP)
    world.restarted(holder="another")
    assert world.verdict() is Verdict.GOOD
    assert world.deploy(GOOD) == 3
    assert world.verdict() is Verdict.GOOD
    world.quiet()
    before = world.world.store.list("plain/staging/current/")
    for _ in range(3):
        with contextlib.suppress(Conflict):
            hung.advance(world.world.engine.observe(world.world.place.id))
    assert Catalogue(world.world.store).good(APP, "staging")[-1] == GOOD
    assert world.world.store.list("plain/staging/current/") == before
    with pytest.raises(Conflict, match="deployment 3 ended good"):
        hung.turn_back(None, by="eve", why="late")


def test_what_another_one_left_in_the_middle_is_seen_before_a_second_begins(tmp_path: Path) -> None:
    world = up(tmp_path)
    first = world.control
    world.restarted(holder="another")
    world.deploy(BETTER)
    world.settle(lambda: world.newest.phase is Phase.LAUNCH)
    world.control = first
    with pytest.raises(Conflict, match="is being changed by"):
        world.deploy(OTHER)
    world.world.clock.advance(20)  # type: ignore[attr-defined]
    with pytest.raises(Conflict, match="is being deployed: deployment 2 of r2"):
        world.deploy(OTHER)
    assert world.verdict() is Verdict.GOOD
    assert [each[0].number for each in first.deployments(world.world.place.id, APP)] == [1, 2]


def test_what_new_instances_pull_is_said_again_after_somebody_else_drove(tmp_path: Path) -> None:
    world = up(tmp_path)
    world.world.memory.heals = True  # type: ignore[attr-defined]
    app = world.control.environments[world.world.place.id].app(APP)
    other = Lease(world.world.store, APP, "staging", holder="another", clock=world.world.clock)
    observed, log = world.world.engine.observe(world.world.place.id), FencedLog(world.world.store, LAUNCH)
    app.lease.take("ada")
    app.pointers.follow(world.newest, observed)
    app.lease.release()
    log.append(other.take("eve"), b'{"release":7}')
    other.release()
    with pytest.raises(Conflict, match="already runs"):
        world.deploy(GOOD)
    assert world.deploy(BETTER) == 2
    app.pointers.follow(world.newest, observed)
    assert log.newest() == b'{"release":1}'
