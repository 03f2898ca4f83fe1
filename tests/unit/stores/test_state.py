"""What the engine's memory keeps of events."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeport.model.event import Event
from homeport.stores.state import State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    found = State(tmp_path / "state.db")
    try:
        yield found
    finally:
        found.close()


def _record(state: State, environment: str, message: str) -> None:
    event = Event(
        at=datetime(2026, 1, 1, tzinfo=UTC), environment=environment, kind="launch", subject="web-1", message=message
    )
    state.record(event, keep=5)


def test_the_newest_events_of_each_environment_stay_whatever_the_others_do(state: State) -> None:
    _record(state, "shop/quiet", "the only one")
    for number in range(19):
        _record(state, "shop/noisy", str(number))
    assert [each.message for each in state.events("shop/quiet", 0, 100)] == ["the only one"]
    noisy = [each.message for each in state.events("shop/noisy", 0, 100)]
    assert noisy == [str(number) for number in range(14, 19)]
    for _ in range(20):
        _record(state, "shop/other", "again")
    assert state.events("shop/quiet", 0, 100) == [], "of all together there is an end too"
