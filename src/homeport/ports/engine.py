"""The engine, as a port: observes, and executes single actions; decides nothing. Implemented by memory, local, aws;
`testing.contract` holds what all of them must do."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from homeport.model.action import Action
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Answers
from homeport.model.certificate import Certificate
from homeport.model.event import Event
from homeport.model.fleet import Observation
from homeport.model.platform import Place
from homeport.model.release import Release
from homeport.model.retention import Remain, Room, Usage
from homeport.model.session import Session

Needed = Mapping[str, Mapping[str, Collection[int]]]
"""Environment → app → releases that its deployments may go back to. An app that isn't there: nobody knows, all."""


class LogQuery(Struct, frozen=True, kw_only=True):
    """Which log lines; empty fields don't restrict."""

    app: str = ""
    group: str = ""
    instance: str = ""
    process: str = ""
    since_at: datetime | None = None
    pattern: str = ""
    last: int | None = None
    """Only so many of the newest lines."""


class LogLine(Struct, frozen=True, kw_only=True):
    at: datetime
    instance: str
    process: str
    text: str


class Engine(Protocol):
    """`environment` is a place's id, `<platform>/<environment>`."""

    @property
    def heals(self) -> bool:
        """Whether it launches, replaces and spreads a group's instances by itself, up to its capacity, and each pulls
        the release that its launch pointer in the store names; then `plan.pool` decides, else `plan.fleet`."""
        ...

    @property
    def look_again_seconds(self) -> float | None:
        """How often it must be asked what happened; None: `on_change` tells."""
        ...

    def open_environment(self, place: Place) -> str:
        """URL of the public side. The environment exists from now on; again with another `listen`: it moves there.
        Raises `Conflict` where the port is taken, `Invalid` for a certificate that can't be used or isn't valid."""
        ...

    def begin_close(self, environment: str) -> None:
        """From now on its observation says `closing`, also after a restart."""
        ...

    def close_environment(self, environment: str) -> None:
        """Its address, ports and records are given back. Raises `Conflict` while instances live."""
        ...

    def begin_leave(self, environment: str, app: str) -> None:
        """From now on its observation has the app among `leaving`, also after a restart, and the app's routes don't
        hold. Raises `NotFound` where the environment doesn't have it."""
        ...

    def forget_app(self, environment: str, app: str) -> None:
        """The environment doesn't have the app any more; no error if it didn't. Raises `Conflict` while instances of it
        live, or anything that people run in it."""
        ...

    def environments(self) -> dict[str, tuple[Place, str]]:
        """id → (place, URL) of all that are open."""
        ...

    def certificate(self, environment: str) -> Certificate | None:
        """What clients of the public side are shown; None: it speaks plain HTTP."""
        ...

    def observe(self, environment: str) -> Observation:
        """What is there now. Raises `Unavailable` where that can't be known."""
        ...

    def execute(self, environment: str, action: Action, *, fence: int) -> None:
        """One action begun (long ones go on by themselves and are observed). Repeating one is harmless.
        Raises `Conflict` for a fence lower than one seen for the action's app, `Unavailable`, `NotFound`."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Actions executed inside it may reach the balancer together, when it ends; that raises `Unavailable` where
        they can't."""
        ...

    def admit(self, environment: str, app: str, *, fence: int) -> None:
        """From now on the environment has the app, in its observation's `fence`, and lower fences are refused. Raises
        `Conflict` for one that is lower itself."""
        ...

    def file(self, environment: str, app: str, release: int, path: str) -> bytes | None:
        """A file of the code of a release that was prepared here; None: there is none. Raises `NotFound` for the
        release, `Unavailable`."""
        ...

    def release(self, environment: str, app: str, number: int) -> Release | None:
        """A release that was prepared here, from the engine's own memory (the store may be gone); None: never was."""
        ...

    def answers(
        self, environment: str, app: str, group: str, *, since_at: datetime, until_at: datetime
    ) -> Mapping[int, Answers]:
        """Release → what became of the requests to its targets in the group that ended within that time, as far as it
        is still known. Raises `Unavailable`."""
        ...

    def asked(self, environment: str) -> Asked:
        """What people asked for."""
        ...

    def ask(self, environment: str, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        """Kept durably, in place of what was asked of that group, zone or app before. A zone that is to fail does so,
        soon, and is in the observation's `failed_zones` from now on, until it is restored. Maintenance holds when this
        returns; raises `Unavailable` where the balancer doesn't take it yet."""
        ...

    def record(self, event: Event) -> None:
        """Keep an event."""
        ...

    def events(self, environment: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events with a number above `after`, oldest first."""
        ...

    def history(self, environment: str) -> Sequence[Event]:
        """What the engine's own machinery tells of what it did, oldest first, beside `events`; nothing where all is
        Homeport's own doing. Raises `Unavailable`."""
        ...

    def logs(self, environment: str, query: LogQuery, *, follow: bool = False) -> Iterator[LogLine]:
        """Lines in order of time; with `follow` it goes on as they come."""
        ...

    def sessions(self, environment: str) -> tuple[Session, ...]:
        """What people run there, and the last that they ran."""
        ...

    def end_session(self, environment: str, session: str, *, by_force: bool) -> None:
        """It is told to end, or killed. Harmless for one that has ended or never was."""
        ...

    def remains(self, needed: Needed) -> Sequence[Remain]:
        """What lies on the engine's machine that may not be needed any more. `needed`: what its records don't say."""
        ...

    def remove(self, remain: Remain, needed: Needed) -> bool:
        """Whether it is gone; False: it was before, or is needed by now. Raises `Unavailable`."""
        ...

    def usage(self) -> Usage:
        """Looks at everything on disk: takes its time."""
        ...

    def room(self) -> Room:
        """Of the file system that the engine keeps its things on. Raises OSError."""
        ...

    def memory_bytes(self) -> int | None:
        """What all instances together may take; None: nobody knows, or as much as there may be."""
        ...

    def make_room(self) -> bool:
        """Whether there is more room now: what it keeps for a full disk is given up, if the disk is full, until
        `compact`."""
        ...

    def compact(self) -> None:
        """What its records don't need any more is given back to the disk, where there is much of it; what it keeps for
        a full disk is kept again. Raises `Unavailable`."""
        ...

    def listening(self, environment: str, instance: str) -> tuple[str, ...]:
        """`address:port` of every listening socket of the instance's processes, for diagnosis."""
        ...

    def on_change(self, wake: Callable[[], None]) -> None:
        """`wake` is called, from any thread, soon after an observation may have changed."""
        ...

    def close(self) -> None:
        """Stop watching. What runs goes on running."""
        ...
