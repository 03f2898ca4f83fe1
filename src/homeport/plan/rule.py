"""What a table of rules about instances is made of, and the rules that every such table has: on engines that heal and
on those that don't. Pure. Called by `plan.fleet_rule` and `plan.pool`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from msgspec import Struct

from homeport.model.action import Action, Inherit
from homeport.model.fleet import GroupDesired, Instance, Run
from homeport.plan.cohort import Role
from homeport.plan.member import carries


class Situation(Struct, frozen=True, kw_only=True):
    """What any rule may look at."""

    instance: Instance
    role: Role
    desired: GroupDesired
    enough: bool
    """So many wanted instances carry traffic that one that isn't wanted may go."""
    held: bool = False
    """It is to become its next generation, but not yet: fewer than the floor would carry."""

    @property
    def carrying(self) -> bool:
        return carries(self.instance, balanced=self.desired.balanced)

    @property
    def release(self) -> int:
        """That it shall run: only of one that is wanted."""
        assert self.role.cohort is not None
        return self.role.cohort.release


class Outcome(Struct, frozen=True, kw_only=True):
    """What a rule answers: an action or a no-op, the reason, and when to look again."""

    reason: str
    action: Action | None = None
    wake_at: datetime | None = None


Seen = TypeVar("Seen", bound=Situation, contravariant=True)


class Rule(Struct, Generic[Seen], frozen=True, kw_only=True):
    name: str
    when: Callable[[Seen], bool]
    then: Callable[[Seen], Outcome]


UNKNOWN: Rule[Situation] = Rule(
    name="unknown",
    when=lambda s: s.instance.run is Run.UNKNOWN,
    then=lambda s: Outcome(reason="nobody knows what it does; unknown never authorises destruction"),
)
INHERITED: Rule[Situation] = Rule(
    name="inherited",
    when=lambda s: s.role.inherit,
    then=lambda s: Outcome(
        action=Inherit(instance=s.instance.id, release=s.release),
        reason=f"what it runs is the same in r{s.instance.release} and r{s.release}",
    ),
)
FLOOR: Rule[Situation] = Rule(
    name="floor",
    when=lambda s: s.held,
    then=lambda s: Outcome(reason=f"it carries on: {s.desired.floor} serve at least"),
)
IN_SERVICE: Rule[Situation] = Rule(
    name="in service",
    when=lambda s: True,
    then=lambda s: Outcome(reason=f"in service with r{s.instance.release}"),
)
