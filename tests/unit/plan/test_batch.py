"""How many at a time: also beside what AWS documents of CodeDeploy's minimum healthy hosts."""

import pytest

from homeport.model.platform import Amount
from homeport.plan.batch import batches, unavailable, zone_batches


@pytest.mark.parametrize(
    ("count", "said", "at_once", "healthy"),
    [
        # docs.aws.amazon.com/codedeploy, MinimumHealthyHosts: of nine, HOST_COUNT 6 is three at a time,
        (9, 3, 3, 6),
        # FLEET_PERCENT 40 five at a time, four or more stay,
        (9, "60%", 5, 4),
        # CodeDeployDefault.AllAtOnce, HalfAtATime and OneAtATime: all nine, up to half of them (four), one.
        (9, "100%", 9, 0),
        (9, "50%", 4, 5),
        (9, 1, 1, 8),
        # A minimum that leaves none to begin with is refused there; here one always may go.
        (9, "5%", 1, 8),
        (2, "40%", 1, 1),
        (3, 5, 3, 0),
    ],
)
def test_minimum_healthy_hosts(count: int, said: Amount, at_once: int, healthy: int) -> None:
    away = unavailable(said, count, 0)
    assert (away, count - away) == (at_once, healthy)
    assert batches(count, count, away=away, surge=0)[0] == at_once


@pytest.mark.parametrize(
    ("old", "new", "away", "surge", "expected"),
    [
        (4, 4, 1, 0, (1, 2, 3, 4)),
        (4, 4, 0, 1, (1, 2, 3, 4)),
        (5, 5, 1, 1, (2, 4, 5)),
        (4, 2, 1, 0, (1, 2)),
        (2, 5, 1, 0, (1, 5)),
        (3, 3, 3, 0, (3,)),
    ],
)
def test_batches(old: int, new: int, away: int, surge: int, expected: tuple[int, ...]) -> None:
    assert batches(old, new, away=away, surge=surge) == expected


def test_zone_after_zone() -> None:
    assert zone_batches({"a": 2, "c": 3}, ("a", "b", "c"), 5) == ((2, 5), 3)
    assert zone_batches({"a": 2, "b": 2}, ("a", "b"), 3) == ((2, 3), 2)
