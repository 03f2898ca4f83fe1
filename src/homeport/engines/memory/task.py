"""One-off processes on the memory engine: what they do follows from the clock. Used by `engine`."""

from dataclasses import dataclass
from datetime import datetime
from signal import SIGTERM

from homeport.model.fleet import Task


@dataclass
class MemoryTask:
    app: str
    done_at: datetime | None
    """None: it never ends by itself."""
    exit_code: int
    deaf: bool
    """It ignores TERM."""
    stop_at: datetime | None = None
    killed: bool = False

    def end(self, now: datetime, *, by_force: bool) -> None:
        if self.done_at is not None and now >= self.done_at:
            return
        if by_force:
            self.killed = True
        elif self.stop_at is None:
            self.stop_at = now
            if not self.deaf:
                self.done_at, self.exit_code = now, 128 + SIGTERM

    def seen(self, id_: str, now: datetime) -> Task:
        done = self.done_at is not None and now >= self.done_at and not self.killed
        code = self.exit_code if done else None
        return Task(id=id_, app=self.app, exit_code=code, lost=self.killed, stop_at=self.stop_at)
