"""Deleting any rule of a decider fails a behaviour that the suite states."""

import pytest

from homeport.plan import fleet
from tests.unit.plan import test_fleet


def fails(check) -> bool:
    try:
        check()
    except (AssertionError, StopIteration):
        return True
    return False


@pytest.mark.parametrize("rule", fleet.RULES, ids=lambda rule: rule.name)
def test_every_fleet_rule_is_needed(rule, monkeypatch) -> None:
    monkeypatch.setattr(fleet, "RULES", tuple(each for each in fleet.RULES if each is not rule))
    assert any(fails(check) for check in test_fleet.CHECKS), f"nothing notices that {rule.name!r} is gone"
