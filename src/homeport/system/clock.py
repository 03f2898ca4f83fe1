"""The real clock. Implements `ports.clock.Clock`."""

import time
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def pause(seconds: float) -> None:
    """The only sleep: between two looks at something that sends no event."""
    time.sleep(seconds)
