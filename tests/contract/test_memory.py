"""The memory engine keeps the contract."""

from pathlib import Path

import pytest

from homeport.testing.contract import EngineContract
from homeport.testing.contract_single import SingleActionContract
from homeport.testing.world import MemoryWorld
from tests.memory_world import memory_world


@pytest.fixture
def world(tmp_path: Path) -> MemoryWorld:
    return memory_world(tmp_path)


class TestMemoryEngine(EngineContract, SingleActionContract):
    pass
