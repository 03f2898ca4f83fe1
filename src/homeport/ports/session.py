"""Commands that people run in one-off instances and inside live ones, as a port: each engine has its own road to them.
Called by `cli.run` and `cli.exec`."""

from datetime import timedelta
from typing import Protocol

from msgspec import Struct

from homeport.model.session import Session


class Streams(Struct, frozen=True):
    """Descriptors of whoever waits for the command. It gets a terminal where `stdin` and `stdout` are one."""

    stdin: int
    stdout: int
    stderr: int


class Asked(Struct, frozen=True, kw_only=True):
    """`argv` is the program and its arguments; `shown`: the same as it was typed. `timeout` None: no limit."""

    argv: tuple[str, ...]
    shown: str
    by: str
    timeout: timedelta | None = None


class Ending(Struct, frozen=True, kw_only=True):
    """How it ended: 128 + n for a signal, 124 at the time limit, 127 and 126 for a program that isn't there or can't be
    executed; `reason`: what to say about it, empty where the code says it all."""

    session: Session
    exit_code: int
    reason: str = ""


class Sessions(Protocol):
    """`environment` is `<platform>/<name>`. All raise `NotFound`, `Invalid`, `Conflict`, `Unavailable`: nothing has
    been started then."""

    def prepared(self, environment: str, app: str, release: int) -> bool:
        """Whether that release can be run at once."""
        ...

    def app(self, environment: str, asked: str | None) -> str:
        """The app that is meant: `asked`, else the only one."""
        ...

    def run(
        self,
        environment: str,
        asked: Asked,
        *,
        app: str,
        group: str | None,
        release: int | None,
        variables: dict[str, str],
        streams: Streams,
    ) -> Ending:
        """The command in an instance made for it, as `group` would get one of `release` (None: the one that new
        instances get), with `variables` over its config. Returns when it has ended, and the instance with it."""
        ...

    def detach(
        self,
        environment: str,
        asked: Asked,
        *,
        app: str,
        group: str | None,
        release: int | None,
        variables: dict[str, str],
    ) -> Session:
        """As `run`, but it goes on by itself, and what it writes becomes its log."""
        ...

    def exec(
        self, environment: str, asked: Asked, *, instance: str, process_type: str | None, streams: Streams
    ) -> Ending:
        """The command inside a live instance, with the environment variables of that process type of it (None: the one
        that serves). The instance stays as it is."""
        ...

    def stop(self, environment: str, session: str) -> None:
        """It has been told to end: TERM, and KILL after the group's grace time."""
        ...
