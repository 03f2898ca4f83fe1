from datetime import timedelta

from homeport.model.asked import Asked
from homeport.plan.desired import desired_groups
from tests.memory_world import formation


def test_what_goes_down_keeps_its_own_grace() -> None:
    (web,) = desired_groups(
        "shop", deployment=None, launch=None, releases={3: formation()}, asked=Asked(), present=["web"]
    )
    assert (web.cohorts, web.stop_grace, web.balanced) == ((), timedelta(seconds=3), True)


def test_an_unknown_group_goes_with_the_defaults() -> None:
    (old,) = desired_groups("shop", deployment=None, launch=None, releases={}, asked=Asked(), present=["old"])
    assert (old.cohorts, old.stop_grace) == ((), timedelta(seconds=10))
