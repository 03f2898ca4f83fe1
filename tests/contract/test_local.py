"""The local engine keeps the contract. One engine and one HAProxy serve all tests; each has the environment
to itself."""

import os
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.testing.contract import EngineContract
from homeport.testing.contract_single import SingleActionContract
from homeport.testing.step import healthy
from tests.local_world import LocalWorld, local_world


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorld]:
    with local_world(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture
def world(machine: LocalWorld) -> Iterator[LocalWorld]:
    machine.engine.open_environment(machine.place)
    yield machine
    machine.clear()


class TestLocalEngine(EngineContract, SingleActionContract):
    def test_logs_of_the_ended_are_pruned_and_those_of_the_living_are_not(self, world: LocalWorld) -> None:
        healthy(world)
        old = world.home.logs / world.place.id / "web-0" / "web" / "current"
        old.parent.mkdir(parents=True)
        old.write_text("2020-01-01T00:00:00.00000 long ago\n")
        living = world.home.logs / world.place.id / "web-1"
        for each in (old, old.parent, old.parent.parent, *living.rglob("*"), living):
            os.utime(each, (1_600_000_000, 1_600_000_000))
        logs = {each.name: each for each in world.engine.remains({}) if each.kind == "log"}
        assert world.engine.remove(logs[str(old.parent.parent.relative_to(world.home.root))], {})
        assert str(living.relative_to(world.home.root)) not in logs
        assert not old.parent.parent.exists()
        assert living.exists()

    def test_maintenance_that_no_balancer_can_do_is_not_kept(self, world: LocalWorld) -> None:
        said = MaintenanceAsked(app="", on=True, since_at=world.clock.now(), by="ada")
        for before in ((), (said,)):
            for each in before:
                world.engine.ask(world.place.id, each)
            with pytest.raises(Invalid):
                world.engine.ask(world.place.id, replace(said, allow=("nonsense",)))
            assert world.engine.asked(world.place.id).maintenance == before
            world.engine.traffic.sync(again=True)
        world.engine.ask(world.place.id, replace(said, on=False))
