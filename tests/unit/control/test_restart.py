"""A control plane that was killed: the next one of the same name knows no more than the store and the engine hold."""

from pathlib import Path

from homeport.control.log import FencedLog
from homeport.model.deployment import Verdict
from homeport.plan.lease import entry_key, read_lease
from homeport.testing.world import BETTER, GOOD, Controlled
from tests.memory_world import memory_world


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


def test_what_follows_the_verdict_is_made_up_for(tmp_path: Path) -> None:
    world = up(tmp_path)
    store, prefix = world.world.store, "plain/staging/"
    # as if it had been killed between the last entry and these
    (released,) = (key for key in store.list(f"{prefix}lease/") if key.endswith("/released"))
    store.delete(released)
    store.create(released.replace("released", "00000001"), b'{"holder":"test","by":"tester","since_at":""}')
    for key in store.list(f"{prefix}current/"):
        store.delete(key)
    world.restarted()
    world.settle(lambda: read_lease(store.list(f"{prefix}lease/")).released)
    assert FencedLog(store, f"{prefix}current/").newest() == b'{"release":1}'


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
