"""The simulated Auto Scaling's groups, as its calls ask for them. Used by `scaling`, `scaling_member` and
`scaling_hook`."""

from collections.abc import Mapping

from homeport.ports.clock import Clock
from homeport.simulation.aws.scaling_loop import Ground, Turn
from homeport.simulation.aws.scaling_model import Group, Hook, Member, stamp
from homeport.simulation.aws.service import Call, Refused

NAME = "AutoScalingGroupName"


class Groups:
    """Of one region, by name. `clock` is paced: waits are taken of it."""

    def __init__(self, ground: Ground, clock: Clock) -> None:
        self.ground = ground
        self.clock = clock
        self.all: dict[str, Group] = {}
        self.late: list[tuple[str, Hook]] = []
        """Instances, with the hook that nobody completed in time."""

    def of(self, call: Call) -> Group:
        """The one that a call is about. Raises `Refused`."""
        return self.named(call.get(NAME))

    def named(self, name: str) -> Group:
        """Raises `Refused`."""
        if name not in self.all:
            raise Refused("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return self.all[name]

    def member(self, group: Group, id: str) -> Member:
        """Raises `Refused`."""
        if id not in group.members:
            raise Refused("ValidationError", f"The instance {id} is not part of Auto Scaling group {group.name}.")
        return group.members[id]

    def anywhere(self, id: str) -> tuple[Group, Member]:
        """The instance, whichever group it is in. Raises `Refused`."""
        for group in list(self.all.values()):
            if id in group.members:
                return group, group.members[id]
        raise Refused("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {id}")

    def turn(self, group: Group, states: Mapping[str, str]) -> Turn:
        return Turn(group, self.ground, states, self.clock.monotonic(), self.clock.now(), self.late)

    def stamp(self) -> str:
        return stamp(self.clock.now())
