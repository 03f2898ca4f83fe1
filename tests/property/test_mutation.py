"""Deleting any rule of a decider fails a behaviour that the suite states."""

from pathlib import Path

import pytest

from homeport.plan import deployment, fleet
from tests.unit.control import test_alarm, test_deployment, test_strategy
from tests.unit.plan import test_fleet, test_fleet_care


def fails(check, *arguments) -> bool:
    try:
        check(*arguments)
    except (AssertionError, StopIteration):
        return True
    return False


@pytest.mark.parametrize("rule", fleet.RULES, ids=lambda rule: rule.name)
def test_every_fleet_rule_is_needed(rule, monkeypatch) -> None:
    monkeypatch.setattr(fleet, "RULES", tuple(each for each in fleet.RULES if each is not rule))
    checks = [*test_fleet.CHECKS, *test_fleet_care.CHECKS]
    assert any(fails(check) for check in checks), f"nothing notices that {rule.name!r} is gone"


@pytest.mark.parametrize("rule", deployment.RULES, ids=lambda rule: rule.name)
def test_every_deployment_rule_is_needed(rule, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(deployment, "RULES", tuple(each for each in deployment.RULES if each is not rule))
    others = [*test_strategy.CHECKS, *test_deployment.CHECKS]
    checks = list(test_alarm.CHECKS) if rule.name.startswith("alarm") else others
    # those first whose name speaks of it: the first that fails will do
    checks.sort(key=lambda check: -len({*rule.name.split()} & {*check.__name__.split("_")}))
    noticed = any(fails(check, tmp_path / str(n)) for n, check in enumerate(checks))
    assert noticed, f"nothing notices that {rule.name!r} is gone"
