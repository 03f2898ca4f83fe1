"""Whom the grace time judges."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from homeport.model.deployment import Reverting
from homeport.model.fleet import Check, Instance, Observation, Run
from homeport.plan.deployment import next_steps
from tests.unit.plan.test_switch import AT, deployment, instance

LATE = AT + timedelta(minutes=1)


def refuses(*instances: Instance) -> bool:
    step = next_steps(deployment(previous=1), Observation(at=LATE, instances=instances), frozenset({"web"}), LATE)
    return isinstance(step.entry, Reverting)


@pytest.mark.parametrize("run", [Run.STOPPED, Run.STARTING, Run.UNKNOWN])
def test_what_never_ran_or_isnt_known_does_not_speak_against_its_release(run: Run) -> None:
    """A launch that was interrupted by the daemon's death is one of these: it stopped and hasn't died."""
    assert not refuses(replace(instance("web", Check.UNHEALTHY), run=run))


def test_what_nobody_has_asked_yet_does_not_either() -> None:
    assert not refuses(instance("web", Check.UNKNOWN))


def test_what_ran_in_vain_does() -> None:
    assert refuses(instance("web", Check.INITIAL))
