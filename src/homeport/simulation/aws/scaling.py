"""Auto Scaling's API over `scaling_model` and `scaling_loop`: groups here, instances in `scaling_member`, hooks in
`scaling_hook`. moto's isn't asked: there everything is in service at once, hooks, suspensions and health change
nothing. Registered by `simulator`, which calls `tick`.

Sentences in quotation marks are AWS's: Amazon EC2 Auto Scaling API Reference.
"""

import threading
from collections.abc import Mapping
from typing import Any

from homeport.ports.clock import Clock
from homeport.simulation.aws import scaling_hook
from homeport.simulation.aws.scaling_group import NAME, Groups
from homeport.simulation.aws.scaling_hook import Hooks
from homeport.simulation.aws.scaling_loop import Ground
from homeport.simulation.aws.scaling_member import Members
from homeport.simulation.aws.scaling_model import PROCESSES, Group, Hook, described
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused


class Scaling:
    """Of one region. `clock` is paced: waits are taken of it."""

    def __init__(self, ground: Ground, account: str, clock: Clock) -> None:
        self.account = account
        self._groups = Groups(ground, clock)
        self._lock = threading.RLock()

    def behaviours(self) -> Mapping[str, Behaviour]:
        named: dict[str, Behaviour] = {
            "CreateAutoScalingGroup": self.create,
            "UpdateAutoScalingGroup": self.update,
            "DeleteAutoScalingGroup": self.delete,
            "DescribeAutoScalingGroups": self.describe,
            "SetDesiredCapacity": self.set_desired,
            "SuspendProcesses": self.suspend,
            "ResumeProcesses": self.resume,
            "DescribeScalingActivities": self.activities,
            "AttachLoadBalancerTargetGroups": self.attach,
            "DetachLoadBalancerTargetGroups": self.detach,
            "DescribeLoadBalancerTargetGroups": self.describe_targets,
            "CreateOrUpdateTags": self.tag,
            "DeleteTags": self.untag,
            "DescribeTags": self.describe_tags,
            "PutScalingPolicy": self.put_policy,
            "DeletePolicy": self.delete_policy,
            "DescribePolicies": self.describe_policies,
            **Members(self._groups).behaviours(),
            **Hooks(self._groups).behaviours(),
        }
        return {name: self._alone(each) for name, each in named.items()}

    @property
    def late(self) -> list[tuple[str, Hook]]:
        """Instances, with the hook that nobody completed in time."""
        return list(self._groups.late)

    def tick(self) -> None:
        """All groups have taken a turn."""
        states = self._groups.ground.running() if self._groups.all else {}
        with self._lock:
            for group in list(self._groups.all.values()):
                self._groups.turn(group, states).take()
                if group.deleting and not group.members:
                    del self._groups.all[group.name]

    def life_cycle(self, id: str) -> str:
        """The state that an instance is to get into, as its metadata tells; empty: it is in no group."""
        try:
            _, member = self._groups.anywhere(id)
        except Refused:
            return ""
        words = {"Pending": "InService", "Terminating": "Terminated"}
        return words.get(member.state.partition(":")[0], member.state)

    def _alone(self, behaviour: Behaviour) -> Behaviour:
        def locked(call: Call) -> Answer:
            with self._lock:
                return behaviour(call)

        return locked

    # --- groups

    def create(self, call: Call) -> Answer:
        name = call.get(NAME)
        if name in self._groups.all:
            raise Refused(
                "AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name}"
            )
        least, most = call.get("MinSize"), call.get("MaxSize")
        group = Group(
            name=name,
            arn=f"arn:aws:autoscaling:{call.region}:{self.account}:autoScalingGroup:{name}:autoScalingGroupName/{name}",
            least=least,
            most=most,
            desired=call.get("DesiredCapacity", least),
            subnets=[],
            template={},
            created_at=self._groups.clock.now(),
        )
        self._set(group, call)
        group.targets = call.names("TargetGroupARNs")
        for said in call.get("LifecycleHookSpecificationList") or ():
            hook = scaling_hook.made(said)
            group.hooks[hook.name] = hook
        for said in call.get("Tags") or ():
            group.tags[said["Key"]] = _tag(said, name)
        if not group.subnets or not group.template:
            raise Refused("ValidationError", "the simulator needs VPCZoneIdentifier and LaunchTemplate")
        group.why = _asked(group, 0, self._groups.stamp())
        self._groups.all[name] = group
        return None

    def update(self, call: Call) -> Answer:
        group = self._groups.of(call)
        before = group.desired
        self._set(group, call)
        if call.get("DesiredCapacity") is not None:
            group.desired = call.get("DesiredCapacity")
        # "If a new value for MinSize is specified without setting a value for DesiredCapacity, and the new MinSize is
        # larger than the current size of the group, this sets the group's DesiredCapacity to the new MinSize value"; so
        # for MaxSize
        else:
            group.desired = min(max(group.desired, group.least), group.most)
        self._check_size(group)
        if group.desired != before:
            group.why = _asked(group, before, self._groups.stamp())
        return None

    def _set(self, group: Group, call: Call) -> None:
        group.least = call.get("MinSize", group.least)
        group.most = call.get("MaxSize", group.most)
        group.health_type = call.get("HealthCheckType", group.health_type)
        group.grace = call.get("HealthCheckGracePeriod", group.grace)
        group.cooldown = call.get("DefaultCooldown", group.cooldown)
        group.protect_new = call.get("NewInstancesProtectedFromScaleIn", group.protect_new)
        group.policies = call.names("TerminationPolicies") or group.policies
        group.lifetime = call.get("MaxInstanceLifetime", group.lifetime)
        if call.get("VPCZoneIdentifier"):
            group.subnets = [each.strip() for each in call.get("VPCZoneIdentifier").split(",")]
        if call.get("LaunchTemplate"):
            group.template = {key: str(value) for key, value in call.get("LaunchTemplate").items()}
        if call.get("MixedInstancesPolicy") or call.get("LaunchConfigurationName"):
            raise Refused("ValidationError", "the simulator launches from one launch template only")

    def _check_size(self, group: Group) -> None:
        if not group.least <= group.desired <= group.most:
            raise Refused(
                "ValidationError",
                f"Desired capacity:{group.desired} must be between the specified min size:{group.least} and max "
                f"size:{group.most}",
            )

    def delete(self, call: Call) -> Answer:
        """ "If the group has instances or scaling activities in progress, you must specify the option to force the
        deletion in order for it to succeed." """
        group = self._groups.of(call)
        if not call.get("ForceDelete"):
            if group.members:
                raise Refused(
                    "ResourceInUse",
                    "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                    "request(s) still in the group.",
                )
            del self._groups.all[group.name]
            return None
        group.deleting, group.least, group.desired = True, 0, 0
        return None

    def describe(self, call: Call) -> Answer:
        wanted = call.names("AutoScalingGroupNames")
        filters = {each["Name"]: each["Values"] for each in call.get("Filters") or ()}
        found = [
            each
            for each in self._groups.all.values()
            if (not wanted or each.name in wanted) and _filtered(each, filters)
        ]
        zones = {each.name: [self._groups.ground.zone(subnet) for subnet in each.subnets] for each in found}
        return {"AutoScalingGroups": [described(each, zones[each.name]) for each in found]}

    def set_desired(self, call: Call) -> Answer:
        group, wanted = self._groups.of(call), call.get("DesiredCapacity")
        if wanted > group.most:
            raise Refused(
                "ValidationError", f"New SetDesiredCapacity value {wanted} is above max value {group.most} for the "
                "AutoScalingGroup."
            )  # fmt: skip
        if wanted < group.least:
            raise Refused(
                "ValidationError", f"New SetDesiredCapacity value {wanted} is below min value {group.least} for the "
                "AutoScalingGroup."
            )  # fmt: skip
        if wanted != group.desired:
            group.why = (
                f"At {self._groups.stamp()} a user request explicitly set group desired capacity changing the desired "
                f"capacity from {group.desired} to {wanted}."
            )
        group.desired = wanted
        return None

    def suspend(self, call: Call) -> Answer:
        group = self._groups.of(call)
        for each in call.names("ScalingProcesses") or PROCESSES:
            _check_process(each)
            group.suspended[each] = f"User suspended at {self._groups.stamp()}"
        return None

    def resume(self, call: Call) -> Answer:
        group = self._groups.of(call)
        for each in call.names("ScalingProcesses") or PROCESSES:
            _check_process(each)
            group.suspended.pop(each, None)
        return None

    def activities(self, call: Call) -> Answer:
        names, wanted = call.get(NAME), call.names("ActivityIds")
        groups = [each for each in self._groups.all.values() if names in (None, each.name)]
        found = [each for group in groups for each in group.activities
                 if not wanted or each["ActivityId"] in wanted]  # fmt: skip
        most = call.get("MaxRecords")
        return {"Activities": found[:most] if most else found}

    # --- target groups, tags, policies

    def attach(self, call: Call) -> Answer:
        group = self._groups.of(call)
        for each in call.names("TargetGroupARNs"):
            if each not in group.targets:
                group.targets.append(each)
                for member in group.members.values():
                    if member.state == "InService":
                        self._groups.ground.register(each, member.id)
        return None

    def detach(self, call: Call) -> Answer:
        group = self._groups.of(call)
        for each in call.names("TargetGroupARNs"):
            if each in group.targets:
                group.targets.remove(each)
                for member in group.members.values():
                    self._groups.ground.deregister(each, member.id)
        return None

    def describe_targets(self, call: Call) -> Answer:
        found = [{"LoadBalancerTargetGroupARN": each, "State": "InService"} for each in self._groups.of(call).targets]
        return {"LoadBalancerTargetGroups": found}

    def tag(self, call: Call) -> Answer:
        for said in call.get("Tags") or ():
            self._groups.named(said["ResourceId"]).tags[said["Key"]] = _tag(said, said["ResourceId"])
        return None

    def untag(self, call: Call) -> Answer:
        for said in call.get("Tags") or ():
            self._groups.named(said["ResourceId"]).tags.pop(said["Key"], None)
        return None

    def describe_tags(self, call: Call) -> Answer:
        filters = {each["Name"]: each["Values"] for each in call.get("Filters") or ()}
        wanted = filters.get("auto-scaling-group")
        return {"Tags": [each for group in self._groups.all.values() if wanted is None or group.name in wanted
                         for each in group.tags.values()]}  # fmt: skip

    def put_policy(self, call: Call) -> Answer:
        group, name = self._groups.of(call), call.get("PolicyName")
        arn = f"arn:aws:autoscaling:{call.region}:{self.account}:scalingPolicy:{name}:policyName/{name}"
        group.scaling[name] = {"PolicyARN": arn, "Enabled": True, "Alarms": [], **call.asked}
        return {"PolicyARN": arn, "Alarms": []}

    def delete_policy(self, call: Call) -> Answer:
        for group in self._groups.all.values():
            for name, each in list(group.scaling.items()):
                if call.get("PolicyName") in (name, each["PolicyARN"]):
                    del group.scaling[name]
        return None

    def describe_policies(self, call: Call) -> Answer:
        groups = [each for each in self._groups.all.values() if call.get(NAME) in (None, each.name)]
        return {"ScalingPolicies": [each for group in groups for each in group.scaling.values()]}


def _asked(group: Group, before: int, when: str) -> str:
    return (
        f"At {when} a user request update of AutoScalingGroup constraints to min: {group.least}, max: {group.most}, "
        f"desired: {group.desired} changing the desired capacity from {before} to {group.desired}."
    )


def _check_process(name: str) -> None:
    if name not in PROCESSES:
        raise Refused("ValidationError", f"Invalid process name: {name}")


def _tag(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "ResourceId": name,
        "ResourceType": "auto-scaling-group",
        "Key": said["Key"],
        "Value": said.get("Value", ""),
        "PropagateAtLaunch": bool(said.get("PropagateAtLaunch", False)),
    }


def _filtered(group: Group, filters: Mapping[str, list[str]]) -> bool:
    for name, values in filters.items():
        if name == "tag-key" and not any(each in group.tags for each in values):
            return False
        if name == "tag-value" and not any(each["Value"] in values for each in group.tags.values()):
            return False
        if name.startswith("tag:") and group.tags.get(name[4:], {}).get("Value") not in values:
            return False
    return True
