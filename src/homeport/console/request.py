"""What the API is asked, as structs: the bodies of its calls. Made by the command line, read by `console.queries` and
`console.asking`. Imports little: every command waits for it."""

from typing import Literal

from msgspec import Struct

from homeport.model.asked import Suspendable
from homeport.model.platform import Amount


class DeployRequest(Struct, frozen=True, kw_only=True):
    """`restart`: every instance is replaced, also of groups in which nothing has changed. `pause_after`: over what the
    release says. `over_freeze`: why a freeze doesn't count; None: it does."""

    app: str
    release: int
    by: str
    why: str
    restart: bool = False
    pause_after: Amount | None = None
    over_freeze: str | None = None


class Word(Struct, frozen=True, kw_only=True):
    """What a person says to the deployment that goes on. `number`: the one that is meant; None: whichever it is."""

    app: str
    by: str
    why: str
    number: int | None = None


class PrepareRequest(Struct, frozen=True, kw_only=True):
    app: str
    release: int


class ScaleRequest(Struct, frozen=True, kw_only=True):
    app: str
    group: str
    count: int
    by: str = "somebody"


class MaintenanceRequest(Struct, frozen=True, kw_only=True):
    """`app` None: the whole environment. `allow`: networks beside those of the file."""

    on: bool
    by: str
    app: str | None = None
    why: str = ""
    allow: tuple[str, ...] = ()


class ZoneRequest(Struct, frozen=True, kw_only=True):
    """`failure` None: it is restored."""

    zone: str
    failure: Literal["kill", "freeze"] | None
    by: str


class ProcessesRequest(Struct, frozen=True, kw_only=True):
    """`groups`: (app, group) of each. `resume`: they do it again; else they are told not to."""

    groups: tuple[tuple[str, str], ...]
    processes: tuple[Suspendable, ...]
    resume: bool
    by: str


class StandbyRequest(Struct, frozen=True, kw_only=True):
    """`enter` False: it comes back."""

    instance: str
    enter: bool
    by: str
    decrement: bool = False


class CycleRequest(Struct, frozen=True, kw_only=True):
    """`cancel`: the one that goes on is given up."""

    app: str
    group: str
    by: str
    max_age_seconds: float = 0
    batch: int = 1
    cancel: bool = False


class BreakerRequest(Struct, frozen=True, kw_only=True):
    """`groups`: (app, group) of each."""

    groups: tuple[tuple[str, str], ...]
    by: str
