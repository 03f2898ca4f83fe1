"""What Auto Scaling does by itself: launches up to the desired capacity, spread over zones, through life-cycle hooks
into service; health checks; ends what is ill or too many. Called by `scaling` at each turn of the simulator.

Pages named in docstrings are AWS's: Amazon EC2 Auto Scaling User Guide.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from homeport.simulation.aws.scaling_model import (
    LAUNCHING,
    LEAVING,
    PENDING,
    TERMINATING,
    Group,
    Hook,
    Member,
    Waiting,
    end,
    stamp,
)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 2.0, 60.0


class Ground(Protocol):
    """EC2 and Elastic Load Balancing, as a group needs them."""

    def launch(self, group: Group, subnet: str, count: int) -> Sequence[Member]:
        """Raises `LaunchFailed`."""
        ...

    def terminate(self, ids: Sequence[str]) -> None: ...

    def running(self) -> Mapping[str, str]:
        """Instance → EC2's state."""
        ...

    def zone(self, subnet: str) -> str: ...

    def register(self, target_group: str, id: str) -> None: ...

    def deregister(self, target_group: str, id: str) -> None: ...

    def health(self, target_group: str, id: str) -> str:
        """Elastic Load Balancing's word; `unused` where it isn't registered."""
        ...


class LaunchFailed(Exception):
    """EC2 refuses, in its words."""


class Turn:
    """One look at one group. `now` is the monotonic clock's, `at` the calendar's. `late` gets each hook that nobody
    completed in time, and its instance."""

    def __init__(
        self,
        group: Group,
        ground: Ground,
        states: Mapping[str, str],
        now: float,
        at: datetime,
        late: list[tuple[str, Hook]],
    ) -> None:
        self._late = late
        self.group = group
        self.ground = ground
        self.states = states
        self.now = now
        self.at = at

    def take(self) -> None:
        for member in list(self.group.members.values()):
            self._step(member)
        if not self.group.deleting:
            self._check_health()
        self._fit()

    # --- one member

    def _step(self, member: Member) -> None:
        match member.state:
            case "Pending":
                self._begin_hooks(member, LAUNCHING, "Pending:Wait", "Pending:Proceed")
            case "Pending:Wait":
                if (result := self._hooked(member)) == "CONTINUE":
                    member.enter("Pending:Proceed", self.now)
                elif result:
                    self._abandon(member)
            case "Pending:Proceed":
                self._serve(member)
            case "Terminating":
                self._drain(member)
            case "Terminating:Wait":
                # page "How lifecycle hooks work": for an instance that is terminating, both results let it go on to be
                # terminated; ABANDON only stops remaining actions
                if self._hooked(member):
                    member.enter("Terminating:Proceed", self.now)
            case "Terminating:Proceed":
                self._end(member)
            case "Terminated":
                del self.group.members[member.id]

    def _begin_hooks(self, member: Member, transition: str, wait: str, proceed: str) -> None:
        hooks = [each for each in self.group.hooks.values() if each.transition == transition]
        member.waiting = [self._waiting(member, each) for each in hooks]
        if hooks and member.activity:
            member.activity |= {"StatusCode": "MidLifecycleAction", "Progress": 50}
        member.enter(wait if hooks else proceed, self.now)

    def _waiting(self, member: Member, hook: Hook) -> Waiting:
        self.group.serial += 1
        number = hashlib.sha256(f"{self.group.arn} {member.id} {hook.name} {self.group.serial}".encode()).hexdigest()
        token = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:32]}"
        return Waiting(hook=hook, token=token, until=self.now + hook.timeout, at_last=self.now + hook.longest)

    def _hooked(self, member: Member) -> str:
        """What the hooks came to; empty: they are waited for. Page "Amazon EC2 Auto Scaling lifecycle hooks": where the
        timeout is over before somebody completes the action, the default result holds. With several hooks, one ABANDON
        ends all; CONTINUE is reached when every hook has it (page "How lifecycle hooks work")."""
        for each in member.waiting:
            if not each.result and self.now >= min(each.until, each.at_last):
                each.result = each.hook.default
                each.late = True
                self._late.append((member.id, each.hook))
        results = [each.result for each in member.waiting]
        if "ABANDON" in results:
            return "ABANDON"
        return "" if "" in results else "CONTINUE"

    def _abandon(self, member: Member) -> None:
        """Page "How lifecycle hooks work": when a launching hook is abandoned, the instance is terminated and
        replaced."""
        given_up = next(each for each in member.waiting if each.result == "ABANDON")
        why = "Heartbeat Timeout" if given_up.late else "Lifecycle Action Completed with ABANDON Result"
        end(
            member.activity,
            self.at,
            "Cancelled",
            "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token "
            f"{given_up.token} was abandoned: {why}",
        )
        self._back_off()
        cause = (
            f"At {stamp(self.at)} an instance was taken out of service in response to a launch that was abandoned by a "
            "lifecycle hook."
        )
        member.activity = self.group.begin(f"Terminating EC2 instance: {member.id}", cause, self.at)
        member.hooked = True
        member.enter("Terminating:Proceed", self.now)

    def _serve(self, member: Member) -> None:
        """Page "Attach a load balancer": the group registers instances that come into service with its target groups,
        once their launching hooks are complete; suspended by AddToLoadBalancer."""
        if self.group.on("AddToLoadBalancer"):
            for each in self.group.targets:
                self.ground.register(each, member.id)
        member.waiting = []
        member.enter("InService", self.now)
        self.group.failures = 0
        end(member.activity, self.at)

    def _drain(self, member: Member) -> None:
        """Page "Elastic Load Balancing and Auto Scaling", connection draining: an instance is deregistered first, and
        terminated only when its requests in flight have ended or the deregistration delay is over."""
        for each in self.group.targets:
            self.ground.deregister(each, member.id)
        draining = any(self.ground.health(each, member.id) == "draining" for each in self.group.targets)
        if draining and self.states.get(member.id) == "running":
            if member.activity:
                member.activity["StatusCode"] = "WaitingForELBConnectionDraining"
        elif member.hooked:
            member.enter("Terminating:Proceed", self.now)
        else:
            member.hooked = True
            self._begin_hooks(member, TERMINATING, "Terminating:Wait", "Terminating:Proceed")

    def _end(self, member: Member) -> None:
        for each in self.group.targets:
            self.ground.deregister(each, member.id)
        if self.states.get(member.id) not in (None, "terminated", "shutting-down"):
            self.ground.terminate([member.id])
        end(member.activity, self.at)
        member.enter("Terminated", self.now)

    # --- health

    def _check_health(self) -> None:
        """Page "Health checks for instances in an Auto Scaling group": an instance that EC2 doesn't call running is
        unhealthy; with ELB health checks, so is a registered one that a target group calls unhealthy, after the grace
        period, which begins when the instance comes into service; "but only after the load balancer is in the InService
        state", which it is once a registered instance was healthy (page "Verify the attachment status of your load
        balancer"). Suspended by HealthCheck; replacing by ReplaceUnhealthy."""
        for each in self.group.targets:
            if each not in self.group.attached and any(
                self.ground.health(each, member.id) == "healthy" for member in self.group.members.values()
            ):
                self.group.attached.add(each)
        for member in self.group.counted():
            cause = self._illness(member) if self.group.on("HealthCheck") else ""
            if cause:
                member.health = "Unhealthy"
            if member.health == "Unhealthy" and self.group.on("ReplaceUnhealthy") and self.group.on("Terminate"):
                words = cause or f"a user health-check at {stamp(self.at)}"
                self.leave(member, f"an instance was taken out of service in response to {words}.")

    def _illness(self, member: Member) -> str:
        if self.states.get(member.id) != "running":
            return "an EC2 health check indicating it has been terminated or stopped"
        late = self.now - member.since >= self.group.grace
        asked = self.group.targets if self.group.health_type == "ELB" and member.state == "InService" and late else ()
        ill = any(self.ground.health(each, member.id) == "unhealthy" for each in asked if each in self.group.attached)
        return "an ELB system health check failure" if ill else ""

    def leave(self, member: Member, words: str) -> None:
        """It is being terminated, for what the words say."""
        end(member.activity, self.at)
        cause = f"{self.group.why} At {stamp(self.at)} {words}".strip()
        member.activity = self.group.begin(f"Terminating EC2 instance: {member.id}", cause, self.at)
        member.enter("Terminating", self.now)

    # --- capacity

    def _fit(self) -> None:
        """Page "Amazon EC2 Auto Scaling instance lifecycle" and "Suspend and resume processes": as many instances as
        desired, within minimum and maximum; Launch and Terminate can be suspended."""
        group = self.group
        counted = group.counted()
        missing = group.desired - len(counted)
        if missing > 0 and group.on("Launch") and not group.deleting and self.now >= group.launch_after:
            self._launch(missing, len(counted))
        elif missing < 0 and group.on("Terminate"):
            for number, member in enumerate(self._victims(counted)[:-missing]):
                size = len(counted) - number
                self.leave(
                    member,
                    "an instance was taken out of service in response to a difference between desired and actual "
                    f"capacity, shrinking the capacity from {size} to {size - 1}.",
                )
        if missing == 0:
            group.why = ""

    def _launch(self, count: int, there: int) -> None:
        """Page "Benefits of Auto Scaling for application architecture", instance distribution: launches in the zone
        with the fewest instances."""
        group = self.group
        zones = Counter({subnet: 0 for subnet in group.subnets})
        places = {self.ground.zone(subnet): subnet for subnet in reversed(group.subnets)}
        for member in group.counted():
            if member.zone in places:
                zones[places[member.zone]] += 1
        wanted: Counter[str] = Counter()
        for _ in range(count):
            subnet = min(group.subnets, key=lambda each: zones[each])
            zones[subnet] += 1
            wanted[subnet] += 1
        cause = (
            f"{group.why} At {stamp(self.at)} an instance was started in response to a difference between desired and "
            f"actual capacity, increasing the capacity from {there} to {there + count}."
        ).strip()
        for subnet, number in wanted.items():
            try:
                fresh = self.ground.launch(group, subnet, number)
            except LaunchFailed as error:
                failed = group.begin("Launching a new EC2 instance", cause, self.at)
                end(failed, self.at, "Failed", f"{str(error).rstrip('.')}. Launching EC2 instance failed.")
                self._back_off()
                return
            for member in fresh:
                member.activity = group.begin(
                    f"Launching a new EC2 instance: {member.id}", cause, self.at, "PreInService"
                )
                group.members[member.id] = member

    def _back_off(self) -> None:
        """Page "Troubleshoot Amazon EC2 Auto Scaling": it goes on trying; how fast isn't said."""
        self.group.failures += 1
        seconds = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self.group.failures - 1, 8))
        self.group.launch_after = self.now + seconds

    def _victims(self, members: Sequence[Member]) -> list[Member]:
        """Page "Default termination policy": from the zone with the most instances, those that aren't protected from
        scale-in, of the oldest launch template version first; then, for us, those launched first. "Instance scale-in
        protection starts when the instance state is InService" (page "Use instance scale-in protection")."""
        zones = Counter(each.zone for each in members)
        left = [each for each in members if not (each.protected and each.state == "InService")]
        found = []
        while left:
            chosen = min(left, key=lambda each: (-zones[each.zone], _version(each), each.launched_at, each.id))
            zones[chosen.zone] -= 1
            left.remove(chosen)
            found.append(chosen)
        return found


def _version(member: Member) -> int:
    return int(member.template.get("Version", 0) or 0)


def at_rest(group: Group) -> bool:
    """Whether nothing goes on in it."""
    return not any(each.state in (*PENDING, *LEAVING) for each in group.members.values())
