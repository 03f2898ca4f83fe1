"""How a one-off process ends before its time. Pure. Called by `plan.way_back` and `control.environment`."""

from datetime import datetime, timedelta

from homeport.model.action import EndTask
from homeport.model.fleet import Task

GRACE = timedelta(seconds=10)
"""From TERM to KILL."""


def ending(task: Task, now: datetime) -> tuple[EndTask | None, datetime | None]:
    """What to do, and when to look again (None: only when something happens). It is told once; killed, until it has
    ended."""
    if task.ended:
        return None, None
    if task.stop_at is None:
        return EndTask(app=task.app, task=task.id), now + GRACE
    if now < task.stop_at + GRACE:
        return None, task.stop_at + GRACE
    return EndTask(app=task.app, task=task.id, by_force=True), now + GRACE
