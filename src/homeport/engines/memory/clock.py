"""A clock that stands still until it is moved. For tests and simulation. Implements `ports.clock.Clock`."""

from datetime import UTC, datetime, timedelta


class VirtualClock:
    def __init__(self, start_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start_at = start_at
        self._passed = timedelta()

    def now(self) -> datetime:
        return self._start_at + self._passed

    def monotonic(self) -> float:
        return self._passed.total_seconds()

    def jump(self, seconds: float) -> None:
        """Somebody sets the time: what is monotonic doesn't notice."""
        self._start_at += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        self._passed += timedelta(seconds=seconds)
