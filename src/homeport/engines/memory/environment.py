"""One environment of the memory engine: all that it holds, and what is kept of actions and of what people ask for.
Called by `engine`."""

from dataclasses import dataclass, field

from homeport.engines.memory.instance import killed_with_zone
from homeport.engines.memory.task import MemoryTask
from homeport.errors import Conflict, NotFound
from homeport.model.action import (
    Action,
    EndTask,
    FailOpen,
    HoldBack,
    Launch,
    Prepare,
    RunTask,
    SetCapacity,
    SetLaunch,
    SetRoutes,
    SetShare,
)
from homeport.model.asked import Asked, GroupAsked, MaintenanceAsked, ZoneAsked
from homeport.model.canary import Share
from homeport.model.fleet import Instance, Preparation, State
from homeport.model.platform import Place
from homeport.model.session import Session


@dataclass
class MemoryEnvironment:
    place: Place
    url: str
    instances: dict[str, Instance] = field(default_factory=dict)
    started_with: dict[str, int] = field(default_factory=dict)
    """Instance → the release that its generation was started with, by which it behaves."""
    tasks: dict[str, MemoryTask] = field(default_factory=dict)
    prepared: dict[tuple[str, int], Preparation] = field(default_factory=dict)
    launch: dict[str, int] = field(default_factory=dict)
    routes: dict[str, int] = field(default_factory=dict)
    last_ordinal: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    asked_groups: dict[tuple[str, str], GroupAsked] = field(default_factory=dict)
    asked_zones: dict[str, ZoneAsked] = field(default_factory=dict)
    maintenance: dict[str, MaintenanceAsked] = field(default_factory=dict)
    fail_open: set[tuple[str, str]] = field(default_factory=set)
    shares: dict[str, dict[str, Share]] = field(default_factory=dict)
    """App → group → how its requests are shared."""
    fences: dict[str, int] = field(default_factory=dict)
    closing: bool = False
    leaving: set[str] = field(default_factory=set)

    def alive(self, app: str | None = None) -> list[str]:
        """Ids of the instances and sessions that haven't ended; None: of all apps."""
        found = [each.id for each in self.instances.values() if app in (None, each.app) and _lives(each)]
        return found + [each.id for each in self.sessions.values() if app in (None, each.app) and each.ended_at is None]

    def admit(self, app: str, fence: int) -> None:
        """Raises `Conflict`."""
        if fence < self.fences.get(app, 0):
            raise Conflict(f"fence {fence} of {app} is over: {self.fences[app]} was seen")
        self.fences[app] = fence

    def app_of(self, action: Action) -> str:
        if isinstance(action, Launch | SetCapacity | HoldBack | SetLaunch | SetRoutes | SetShare | FailOpen):
            return action.app
        if isinstance(action, Prepare | RunTask | EndTask):
            return action.app
        kept = self.instances.get(action.instance)
        return kept.app if kept is not None else ""

    def leave(self, app: str) -> None:
        """Raises `NotFound`."""
        if app not in self.fences:
            raise NotFound(f"{app} isn't in {self.place.id}")
        self.leaving.add(app)
        self.routes.pop(app, None)

    def forget(self, app: str) -> None:
        self.instances = {key: each for key, each in self.instances.items() if each.app != app}
        self.prepared = {key: each for key, each in self.prepared.items() if key[0] != app}
        self.asked_groups = {key: each for key, each in self.asked_groups.items() if key[0] != app}
        self.maintenance.pop(app, None)
        self.fail_open = {each for each in self.fail_open if each[0] != app}
        self.shares.pop(app, None)
        self.launch.pop(app, None)
        self.fences.pop(app, None)
        self.leaving.discard(app)

    def set_launch(self, action: SetLaunch) -> None:
        self.launch.pop(action.app, None)
        if action.release is not None:
            self.launch[action.app] = action.release

    def set_fail_open(self, action: FailOpen) -> None:
        (self.fail_open.add if action.open else self.fail_open.discard)((action.app, action.group))

    def set_share(self, action: SetShare) -> None:
        groups = self.shares.setdefault(action.app, {})
        groups.pop(action.group, None)
        if action.percent is not None:
            groups[action.group] = Share(
                app=action.app, group=action.group, release=action.release, percent=action.percent
            )

    @property
    def asked(self) -> Asked:
        return Asked(
            groups=tuple(self.asked_groups.values()),
            zones=tuple(self.asked_zones.values()),
            maintenance=tuple(self.maintenance.values()),
        )

    def ask(self, said: GroupAsked | ZoneAsked | MaintenanceAsked) -> None:
        match said:
            case MaintenanceAsked():
                self.maintenance.pop(said.app, None)
                if said.on:
                    self.maintenance[said.app] = said
            case GroupAsked():
                self.asked_groups.pop((said.app, said.group), None)
                if not said.nothing:
                    self.asked_groups[said.app, said.group] = said
            case ZoneAsked():
                self.asked_zones.pop(said.zone, None)
                if said.failure is not None:
                    self.asked_zones[said.zone] = said
                if said.failure == "kill":
                    lost = [each for each in self.instances.values() if each.zone == said.zone and _lives(each)]
                    self.instances |= {each.id: killed_with_zone(each) for each in lost}


def _lives(instance: Instance) -> bool:
    return instance.state is not State.TERMINATED
