"""What an engine answers that keeps nothing on this machine, as far as the port allows: nothing lies here that could be
measured, cleaned or listened to. Inherited by `memory` and `aws`.
"""

from collections.abc import Callable, Sequence

from homeport.model.event import Event
from homeport.model.retention import Remain, Room, Usage
from homeport.ports.clock import Clock
from homeport.ports.engine import Needed


class Diskless:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._wakes: list[Callable[[], None]] = []

    def certificate(self, environment: str) -> None:
        return None

    def remains(self, needed: Needed) -> Sequence[Remain]:
        return ()

    def remove(self, remain: Remain, needed: Needed) -> bool:
        return False

    def usage(self) -> Usage:
        at = self.clock.now()
        return Usage(measured_at=at, store_bytes=0, layers_bytes=0, instances_bytes=0, logs_bytes=0, builds_bytes=0)

    def room(self) -> Room:
        raise OSError("nothing of it lies on this machine")

    def memory_bytes(self) -> int | None:
        return None

    def make_room(self) -> bool:
        return False

    def compact(self) -> None:
        return

    def listening(self, environment: str, instance: str) -> tuple[str, ...]:
        return ()

    def history(self, environment: str) -> Sequence[Event]:
        return ()

    def on_change(self, wake: Callable[[], None]) -> None:
        self._wakes.append(wake)

    def close(self) -> None:
        self._wakes.clear()

    def _changed(self) -> None:
        for wake in self._wakes:
            wake()
