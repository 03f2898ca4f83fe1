"""What a one-off process on a server of its own and who has it run tell each other: objects of the store. Pure. Written
by the agent and by `engines.aws`.

<app>/<environment>/tasks/<id>/begun      by its server before it begins; by the engine, so that it never does
                              /lines/<n>  what it wrote, piece by piece
                              /stop/1     it is told to end
                              /ended      by its server
"""

from datetime import datetime

from msgspec import Struct


class Begun(Struct, frozen=True, kw_only=True):
    """`instance` empty: it was given up before it began."""

    at: datetime
    instance: str


class Written(Struct, frozen=True, kw_only=True):
    """One line of its output."""

    at: datetime
    process: str
    text: str


class EndedTask(Struct, frozen=True, kw_only=True):
    """`exit_code` 125: it couldn't be started, `tail` says why."""

    at: datetime
    exit_code: int
    tail: tuple[str, ...] = ()


def tasks_prefix(app: str, environment: str) -> str:
    return f"{app}/{environment}/tasks/"


def task_prefix(app: str, environment: str, task: str) -> str:
    return f"{tasks_prefix(app, environment)}{task}/"


def lines_key(prefix: str, number: int) -> str:
    """Of a piece of the output, counted from 1; by key they come in order."""
    return f"{prefix}lines/{number:06d}"


def stop_key(prefix: str) -> str:
    return f"{prefix}stop/1"
