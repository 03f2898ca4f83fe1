"""Time, as a port: tests bring a virtual one."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """`now` is aware UTC; `monotonic` counts seconds from an arbitrary start and never goes back."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...
