"""The local engine keeps the contract. One engine and one HAProxy serve all tests; each has the environment
to itself."""

from collections.abc import Iterator

import pytest

from homeport.testing.contract import EngineContract
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


class TestLocalEngine(EngineContract):
    pass
