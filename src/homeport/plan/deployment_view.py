"""What a rule of the deployment decider looks at, and what it answers. Pure.

Called by `plan.deployment` and the modules that its rules lie in."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from homeport.model.action import Action
from homeport.model.alarm import Reading
from homeport.model.canary import Answers
from homeport.model.deployment import Deployment, Entry, Phase, Started
from homeport.model.fleet import Check, Instance, Observation, Run, State, Task
from homeport.model.platform import Resolved
from homeport.plan.member import carries


class Step(Struct, frozen=True, kw_only=True):
    """`entry`: to be journalled before anything else happens. `action`: to be executed. Neither: `waits_for` says why.
    `blames`: the instance whose last words belong into the entry's evidence."""

    entry: Entry | None = None
    action: Action | None = None
    waits_for: str = ""
    wake_at: datetime | None = None
    blames: str = ""
    rule: str = ""
    """The name of the one that answered."""


class View(Struct, frozen=True, kw_only=True):
    """All that a rule may look at."""

    deployment: Deployment
    observed: Observation
    balanced: frozenset[str]
    """Names of the groups whose instances are targets."""
    now: datetime
    measured_at: datetime | None = None
    """Until when `measured` counts; None: nothing was measured."""
    measured: Mapping[str, tuple[Answers, Answers]] = MappingProxyType({})
    """Group of a canary → answers of the old and of the new release since its step began."""
    readings: tuple[Reading, ...] = ()
    """What alarms that were asked in the bake time said last."""
    resolved: Mapping[int, Resolved] = MappingProxyType({})
    """The platform files of both releases, by their numbers."""
    sizes: Mapping[str, int] = MappingProxyType({})
    """Group → the count that `scale` asked for."""

    @property
    def started(self) -> Started:
        return self.deployment.started

    @property
    def task(self) -> Task | None:
        """The release task, once the engine knows of it."""
        return next((each for each in self.observed.tasks if each.id == self.deployment.task_id), None)

    def members(self, group: str, release: int | None) -> list[Instance]:
        """Instances of the release in the group that are neither ended nor between generations."""
        return [
            each
            for each in self.observed.instances
            if each.app == self.started.app
            and each.group == group
            and each.release == release
            and each.next_release is None
            and each.state not in (State.TERMINATED, State.TERMINATING)
            and each.run is not Run.STOPPED
        ]

    def healthy(self, group: str) -> int:
        return sum(1 for each in self.members(group, self.started.release) if each.check is Check.HEALTHY)

    def carrying(self, group: str, release: int | None) -> int:
        balanced, lost = group in self.balanced, self.observed.failed_zones
        members = (each for each in self.members(group, release) if each.zone not in lost)
        return sum(1 for each in members if carries(each, balanced=balanced))


class Rule(Struct, frozen=True, kw_only=True):
    """`phases`: where it applies. `then` answers None where the rule doesn't fit; the first answer counts."""

    name: str
    phases: tuple[Phase, ...]
    then: Callable[[View], Step | None]


def balanced_groups(started: Started, resolved: Mapping[int, Resolved]) -> frozenset[str]:
    """Names of the groups whose instances are targets, by the platform file of either release."""
    numbers = [each for each in (started.release, started.previous) if each is not None]
    return frozenset(group.name for number in numbers for group in resolved[number].groups if group.balanced)
