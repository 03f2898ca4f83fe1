"""One simulated AWS for all tests of this directory; each leaves it empty, without a call that wasn't answered, and
without an instance that was denied something."""

from collections.abc import Iterator

import pytest

from homeport.simulation.aws.simulator import Simulator, simulator
from tests.aws.world import PACE


@pytest.fixture(scope="session")
def running_aws() -> Iterator[Simulator]:
    with simulator(pace=PACE) as found:
        yield found


@pytest.fixture
def aws(running_aws: Simulator) -> Iterator[Simulator]:
    running_aws.broken.clear()
    running_aws.rights.denied.clear()
    yield running_aws
    assert running_aws.broken == []
    assert running_aws.rights.denied == []
