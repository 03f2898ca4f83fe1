"""The single actions that an engine executes, each one effect, and a decider's plan of them."""

from datetime import datetime

from msgspec import Struct

from homeport.model.asked import Suspendable
from homeport.model.breaker import BreakerState
from homeport.model.platform import Hook


class Prepare(Struct, frozen=True, kw_only=True, tag=True):
    """Bring a release's layers and config to the engine. Long; observed as `Preparation`."""

    app: str
    release: int


class Launch(Struct, frozen=True, kw_only=True, tag=True):
    """A new instance, Pending, with its first generation."""

    app: str
    group: str
    instance: str
    zone: str
    release: int


class Start(Struct, frozen=True, kw_only=True, tag=True):
    """The next generation of an instance whose last one has stopped."""

    instance: str
    release: int


class Inherit(Struct, frozen=True, kw_only=True, tag=True):
    """The instance goes on as it runs, as one of this release: what the release gives its group is what it runs."""

    instance: str
    release: int


class PutInService(Struct, frozen=True, kw_only=True, tag=True):
    """InService; a balanced one becomes a ready target."""

    instance: str


class AskHook(Struct, frozen=True, kw_only=True, tag=True):
    """The hook is asked, once, and the instance waits for its answer: Pending:Wait, or `terminating` Terminating:Wait.
    The answer is observed in `Instance.hook`: a command's exit status 0, or a URL's 2xx, is CONTINUE."""

    instance: str
    hook: Hook
    terminating: bool = False


class EnterStandby(Struct, frozen=True, kw_only=True, tag=True):
    """Standby: no target any more, kept alive."""

    instance: str


class Drain(Struct, frozen=True, kw_only=True, tag=True):
    """No new requests; those in flight go on. `at_once`: they are ended, and the balancer asks another what may be
    repeated: no answer would come."""

    instance: str
    at_once: bool = False


class Stop(Struct, frozen=True, kw_only=True, tag=True):
    """TERM to the generation's processes. `next_release`: it will start again with that; None: it is Terminating."""

    instance: str
    next_release: int | None = None


class Kill(Struct, frozen=True, kw_only=True, tag=True):
    """KILL to the generation's whole tree."""

    instance: str


class Terminate(Struct, frozen=True, kw_only=True, tag=True):
    """End of an instance whose processes are gone: target, address and ports given back; its logs stay."""

    instance: str


class FailOpen(Struct, frozen=True, kw_only=True, tag=True):
    """The group's targets get requests whatever their checks say (`open`), or again only while they pass."""

    app: str
    group: str
    open: bool


class SetCapacity(Struct, frozen=True, kw_only=True, tag=True):
    """So many instances the group keeps by itself from now on, on an engine that heals: launched, replaced, spread.
    `going`: those that it may end for that; from the others it keeps its hands off."""

    app: str
    group: str
    count: int
    going: tuple[str, ...] = ()


class HoldBack(Struct, frozen=True, kw_only=True, tag=True):
    """What a breaker keeps a group from doing by itself, on an engine that heals: these processes, and no others. What
    people have suspended isn't touched."""

    app: str
    group: str
    processes: tuple[Suspendable, ...]


class SetRoutes(Struct, frozen=True, kw_only=True, tag=True):
    """The balancer gets the routes of this release for its app."""

    app: str
    release: int


class SetLaunch(Struct, frozen=True, kw_only=True, tag=True):
    """New instances of the app get this release from now on; None: the app has none any more."""

    app: str
    release: int | None


class SetShare(Struct, frozen=True, kw_only=True, tag=True):
    """The group's targets of the release get so many percent of its requests from now on; `percent` None: every target
    the same again."""

    app: str
    group: str
    release: int
    percent: int | None


class RunTask(Struct, frozen=True, kw_only=True, tag=True):
    """Start a one-off process of a release. A task id that was started before is not started again."""

    app: str
    task: str
    release: int
    command: str


class EndTask(Struct, frozen=True, kw_only=True, tag=True):
    """A one-off process is told to end (TERM), or, `by_force`, killed. Harmless for one that has ended or never was."""

    app: str
    task: str
    by_force: bool = False


Action = (
    Prepare
    | Launch
    | Start
    | Inherit
    | AskHook
    | PutInService
    | EnterStandby
    | Drain
    | Stop
    | Kill
    | Terminate
    | FailOpen
    | SetCapacity
    | HoldBack
    | SetRoutes
    | SetLaunch
    | SetShare
    | RunTask
    | EndTask
)


class Decision(Struct, frozen=True, kw_only=True):
    """An action, or a no-op (`action` None), about `subject`, with the reason a person can read. `rule`: the name of
    the one that fired."""

    subject: str
    reason: str
    action: Action | None = None
    rule: str = ""
    cause: str = ""
    """Why its instance departs, in a word: see `plan.departure`; empty: it doesn't, or for its number alone."""
    replaces: str = ""
    """The instance in whose place another is launched; empty: in nobody's."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to do now, and when to look again even if nothing happens (None: only when something does)."""

    decisions: tuple[Decision, ...] = ()
    wake_at: datetime | None = None
    breakers: tuple[BreakerState, ...] = ()
    """Those that aren't closed."""
    cycle_stopped: str = ""
    """Why a cycle that was asked for doesn't go on; empty: it does, or there is none."""

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(each.action for each in self.decisions if each.action is not None)
