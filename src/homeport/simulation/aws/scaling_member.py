"""The simulated Auto Scaling's calls about instances: ended, protected, taken out of service. Registered by `scaling`.

Sentences in quotation marks are AWS's: Amazon EC2 Auto Scaling API Reference.
"""

from collections.abc import Mapping

from homeport.simulation.aws.scaling_group import NAME, Groups
from homeport.simulation.aws.scaling_model import LEAVING, described_member, end
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused


class Members:
    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "DescribeAutoScalingInstances": self.describe,
            "TerminateInstanceInAutoScalingGroup": self.terminate,
            "SetInstanceHealth": self.set_health,
            "SetInstanceProtection": self.protect,
            "EnterStandby": self.enter_standby,
            "ExitStandby": self.exit_standby,
        }

    def describe(self, call: Call) -> Answer:
        wanted = call.names("InstanceIds")
        found = [
            {**described_member(member), NAME: group.name}
            for group in self._groups.all.values()
            for member in group.members.values()
            if not wanted or member.id in wanted
        ]
        return {"AutoScalingInstances": found}

    def terminate(self, call: Call) -> Answer:
        group, member = self._groups.anywhere(call.get("InstanceId"))
        if member.state in LEAVING:
            raise Refused("ScalingActivityInProgress", f"{member.id} is in {member.state}")
        words = f"instance {member.id} was taken out of service in response to a user request."
        if call.get("ShouldDecrementDesiredCapacity"):
            if group.desired - 1 < group.least:
                raise Refused(
                    "ValidationError",
                    f"Currently, desiredSize equals minSize ({group.least}). Terminating instance without replacement "
                    "will violate group's min size constraint.",
                )
            group.desired -= 1
        self._groups.turn(group, {}).leave(member, words)
        return {"Activity": member.activity}

    def set_health(self, call: Call) -> Answer:
        group, member = self._groups.anywhere(call.get("InstanceId"))
        grace = self._groups.clock.monotonic() - member.since < group.grace
        # "If the Auto Scaling group of the specified instance has a HealthCheckGracePeriod specified for the group, by
        # default, this call respects the grace period."
        if not (call.get("ShouldRespectGracePeriod", True) and grace):
            member.health = call.get("HealthStatus")
        return None

    def protect(self, call: Call) -> Answer:
        group = self._groups.of(call)
        for id in call.names("InstanceIds"):
            self._groups.member(group, id).protected = bool(call.get("ProtectedFromScaleIn"))
        return None

    def enter_standby(self, call: Call) -> Answer:
        """Page "Temporarily remove instances": deregistered from target groups, not checked, still members."""
        group, said = self._groups.of(call), []
        for id in call.names("InstanceIds"):
            member = self._groups.member(group, id)
            if member.state != "InService":
                raise Refused("ValidationError", f"The instance {id} is not in InService.")
            before = group.desired
            if call.get("ShouldDecrementDesiredCapacity"):
                if before - 1 < group.least:
                    raise Refused(
                        "ValidationError", f"AutoScalingGroup {group.name} has min-size={group.least}, "
                        "max-size={group.most}, and desired-size={before}. To place into standby 1 instance, please "
                        "update the AutoScalingGroup sizes appropriately."
                    )  # fmt: skip
                group.desired -= 1
            for each in group.targets:
                self._groups.ground.deregister(each, id)
            cause = f"At {self._groups.stamp()} instance {id} was moved to standby in response to a user request."
            activity = group.begin(f"Moving EC2 instance to Standby: {id}", cause, self._groups.clock.now())
            end(activity, self._groups.clock.now())
            member.enter("Standby", self._groups.clock.monotonic())
            said.append(activity)
        return {"Activities": said}

    def exit_standby(self, call: Call) -> Answer:
        group, said = self._groups.of(call), []
        for id in call.names("InstanceIds"):
            member = self._groups.member(group, id)
            if member.state != "Standby":
                raise Refused("ValidationError", f"The instance {id} is not in Standby.")
            if group.desired + 1 > group.most:
                raise Refused("ValidationError", f"AutoScalingGroup {group.name} has max-size={group.most}.")
            group.desired += 1
            cause = f"At {self._groups.stamp()} instance {id} was moved out of standby in response to a user request."
            member.activity = group.begin(f"Moving EC2 instance out of Standby: {id}", cause, self._groups.clock.now())
            member.enter("Pending", self._groups.clock.monotonic())
            said.append(member.activity)
        return {"Activities": said}
