from pathlib import Path

import pytest

from homeport.model.platform import Deploy, Group, Instances, Place, Resolved, Route
from homeport.stores.objects import open_store
from homeport.testing.builder import release
from homeport.testing.contract import EngineContract
from homeport.testing.world import APP, BAD_TASK, BETTER, DEAF, GOOD, NEVER_HEALTHY, MemoryWorld


def formation(task: str | None = None) -> Resolved:
    web = Group(name="web", run=("web",), instances=Instances(desired=2), balanced=True)
    worker = Group(name="worker", run=("worker",))
    return Resolved(
        app=APP,
        place=Place(platform=APP, name="staging"),
        groups=(web, worker),
        routes=(Route(to="web"),),
        processes={"web": "serve", "worker": "work"},
        release_task=task,
        deploy=Deploy(),
    )


@pytest.fixture
def world(tmp_path: Path) -> MemoryWorld:
    numbers = (GOOD, BETTER, NEVER_HEALTHY, DEAF, BAD_TASK)
    releases = {number: release(number, formation("migrate")) for number in numbers}
    (tmp_path / "store").mkdir()
    return MemoryWorld(releases, open_store(str(tmp_path / "store")))


class TestMemoryEngine(EngineContract):
    def test_unknown_and_blind(self, world: MemoryWorld) -> None:
        assert world.memory.observe(world.place.id).instances == ()
