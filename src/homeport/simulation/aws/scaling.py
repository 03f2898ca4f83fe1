"""Auto Scaling's API over `scaling_model` and `scaling_loop`. moto's isn't asked: there everything is in service at
once, hooks, suspensions and health change nothing. Registered by `simulator`, which calls `tick`.

Sentences in quotation marks are AWS's: Amazon EC2 Auto Scaling API Reference.
"""

import threading
from collections.abc import Mapping
from typing import Any

from homeport.ports.clock import Clock
from homeport.simulation.aws.scaling_loop import Ground, Turn
from homeport.simulation.aws.scaling_model import (
    LAUNCHING,
    LEAVING,
    PROCESSES,
    TERMINATING,
    Group,
    Hook,
    Member,
    described,
    described_hook,
    described_member,
    end,
    stamp,
)
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused

NAME = "AutoScalingGroupName"


class Scaling:
    """Of one region. `clock` is paced: waits are taken of it."""

    def __init__(self, ground: Ground, account: str, clock: Clock) -> None:
        self.ground = ground
        self.account = account
        self.groups: dict[str, Group] = {}
        self._lock = threading.RLock()
        self._clock = clock

    def behaviours(self) -> Mapping[str, Behaviour]:
        named: dict[str, Behaviour] = {
            "CreateAutoScalingGroup": self.create,
            "UpdateAutoScalingGroup": self.update,
            "DeleteAutoScalingGroup": self.delete,
            "DescribeAutoScalingGroups": self.describe,
            "DescribeAutoScalingInstances": self.describe_instances,
            "SetDesiredCapacity": self.set_desired,
            "TerminateInstanceInAutoScalingGroup": self.terminate,
            "SetInstanceHealth": self.set_health,
            "SetInstanceProtection": self.protect,
            "EnterStandby": self.enter_standby,
            "ExitStandby": self.exit_standby,
            "SuspendProcesses": self.suspend,
            "ResumeProcesses": self.resume,
            "PutLifecycleHook": self.put_hook,
            "DeleteLifecycleHook": self.delete_hook,
            "DescribeLifecycleHooks": self.describe_hooks,
            "CompleteLifecycleAction": self.complete,
            "RecordLifecycleActionHeartbeat": self.heartbeat,
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
        }
        return {name: self._alone(each) for name, each in named.items()}

    def tick(self) -> None:
        """All groups have taken a turn."""
        states = self.ground.running() if self.groups else {}
        with self._lock:
            for group in list(self.groups.values()):
                self._turn(group, states).take()
                if group.deleting and not group.members:
                    del self.groups[group.name]

    def life_cycle(self, id: str) -> str:
        """The state that an instance is to get into, as its metadata tells; empty: it is in no group."""
        member = self._member(id)
        if member is None:
            return ""
        words = {"Pending": "InService", "Terminating": "Terminated"}
        return words.get(member.state.partition(":")[0], member.state)

    def _member(self, id: str) -> Member | None:
        return next((group.members[id] for group in list(self.groups.values()) if id in group.members), None)

    def _turn(self, group: Group, states: Mapping[str, str]) -> Turn:
        return Turn(group, self.ground, states, self._clock.monotonic(), self._clock.now())

    def _alone(self, behaviour: Behaviour) -> Behaviour:
        def locked(call: Call) -> Answer:
            with self._lock:
                return behaviour(call)

        return locked

    # --- groups

    def create(self, call: Call) -> Answer:
        name = call.get(NAME)
        if name in self.groups:
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
            created_at=self._clock.now(),
        )
        self._set(group, call)
        group.targets = call.names("TargetGroupARNs")
        for said in call.get("LifecycleHookSpecificationList") or ():
            hook = _hook(said)
            group.hooks[hook.name] = hook
        for said in call.get("Tags") or ():
            group.tags[said["Key"]] = _tag(said, name)
        if not group.subnets or not group.template:
            raise Refused("ValidationError", "the simulator needs VPCZoneIdentifier and LaunchTemplate")
        group.why = _asked(group, 0, self._stamp())
        self.groups[name] = group
        return None

    def update(self, call: Call) -> Answer:
        group = self._group(call)
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
            group.why = _asked(group, before, self._stamp())
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
        group = self._group(call)
        if not call.get("ForceDelete"):
            if group.members:
                raise Refused(
                    "ResourceInUse",
                    "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                    "request(s) still in the group.",
                )
            del self.groups[group.name]
            return None
        group.deleting, group.least, group.desired = True, 0, 0
        return None

    def describe(self, call: Call) -> Answer:
        wanted = call.names("AutoScalingGroupNames")
        filters = {each["Name"]: each["Values"] for each in call.get("Filters") or ()}
        found = [
            each for each in self.groups.values() if (not wanted or each.name in wanted) and _filtered(each, filters)
        ]
        zones = {each.name: [self.ground.zone(subnet) for subnet in each.subnets] for each in found}
        return {"AutoScalingGroups": [described(each, zones[each.name]) for each in found]}

    def describe_instances(self, call: Call) -> Answer:
        wanted = call.names("InstanceIds")
        found = [
            {**described_member(member), NAME: group.name}
            for group in self.groups.values()
            for member in group.members.values()
            if not wanted or member.id in wanted
        ]
        return {"AutoScalingInstances": found}

    def set_desired(self, call: Call) -> Answer:
        group, wanted = self._group(call), call.get("DesiredCapacity")
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
                f"At {self._stamp()} a user request explicitly set group desired capacity changing the desired "
                f"capacity from {group.desired} to {wanted}."
            )
        group.desired = wanted
        return None

    # --- members

    def terminate(self, call: Call) -> Answer:
        group, member = self._in_service(call.get("InstanceId"))
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
        self._turn(group, {}).leave(member, words)
        return {"Activity": member.activity}

    def set_health(self, call: Call) -> Answer:
        group, member = self._in_service(call.get("InstanceId"))
        grace = self._clock.monotonic() - member.since < group.grace
        # "If the Auto Scaling group of the specified instance has a HealthCheckGracePeriod specified for the group, by
        # default, this call respects the grace period."
        if not (call.get("ShouldRespectGracePeriod", True) and grace):
            member.health = call.get("HealthStatus")
        return None

    def protect(self, call: Call) -> Answer:
        group = self._group(call)
        for id in call.names("InstanceIds"):
            self._of(group, id).protected = bool(call.get("ProtectedFromScaleIn"))
        return None

    def enter_standby(self, call: Call) -> Answer:
        """Page "Temporarily remove instances": deregistered from target groups, not checked, still members."""
        group, said = self._group(call), []
        for id in call.names("InstanceIds"):
            member = self._of(group, id)
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
                self.ground.deregister(each, id)
            cause = f"At {self._stamp()} instance {id} was moved to standby in response to a user request."
            activity = group.begin(f"Moving EC2 instance to Standby: {id}", cause, self._clock.now())
            end(activity, self._clock.now())
            member.enter("Standby", self._clock.monotonic())
            said.append(activity)
        return {"Activities": said}

    def exit_standby(self, call: Call) -> Answer:
        group, said = self._group(call), []
        for id in call.names("InstanceIds"):
            member = self._of(group, id)
            if member.state != "Standby":
                raise Refused("ValidationError", f"The instance {id} is not in Standby.")
            if group.desired + 1 > group.most:
                raise Refused("ValidationError", f"AutoScalingGroup {group.name} has max-size={group.most}.")
            group.desired += 1
            cause = f"At {self._stamp()} instance {id} was moved out of standby in response to a user request."
            member.activity = group.begin(f"Moving EC2 instance out of Standby: {id}", cause, self._clock.now())
            member.enter("Pending", self._clock.monotonic())
            said.append(member.activity)
        return {"Activities": said}

    # --- processes, hooks

    def suspend(self, call: Call) -> Answer:
        group = self._group(call)
        for each in call.names("ScalingProcesses") or PROCESSES:
            _check_process(each)
            group.suspended[each] = f"User suspended at {self._stamp()}"
        return None

    def resume(self, call: Call) -> Answer:
        group = self._group(call)
        for each in call.names("ScalingProcesses") or PROCESSES:
            _check_process(each)
            group.suspended.pop(each, None)
        return None

    def put_hook(self, call: Call) -> Answer:
        group, said = self._group(call), dict(call.asked)
        old = group.hooks.get(said["LifecycleHookName"])
        hook = _hook({**(_said(old) if old else {}), **said})
        group.hooks[hook.name] = hook
        return None

    def delete_hook(self, call: Call) -> Answer:
        """ "If there are any outstanding lifecycle actions, they are completed first (ABANDON for launching instances,
        CONTINUE for terminating instances)." """
        group = self._group(call)
        hook = group.hooks.pop(call.get("LifecycleHookName"), None)
        if hook is None:
            raise Refused("ValidationError", f"Lifecycle hook {call.get('LifecycleHookName')} not found")
        for member in group.members.values():
            for each in member.waiting:
                if each.hook.name == hook.name:
                    each.result = "ABANDON" if hook.transition == LAUNCHING else "CONTINUE"
        return None

    def describe_hooks(self, call: Call) -> Answer:
        group, wanted = self._group(call), call.names("LifecycleHookNames")
        found = [each for each in group.hooks.values() if not wanted or each.name in wanted]
        return {"LifecycleHooks": [described_hook(group, each) for each in found]}

    def complete(self, call: Call) -> Answer:
        for each in self._waits(call):
            each.result = call.get("LifecycleActionResult")
        return None

    def heartbeat(self, call: Call) -> Answer:
        """ "This extends the timeout by the length of time defined using the PutLifecycleHook API call." """
        for each in self._waits(call):
            each.until = self._clock.monotonic() + each.hook.timeout
        return None

    def _waits(self, call: Call) -> list[Any]:
        group = self._group(call)
        hook, token, id = call.get("LifecycleHookName"), call.get("LifecycleActionToken"), call.get("InstanceId")
        found = [
            each
            for member in group.members.values()
            for each in member.waiting
            if each.hook.name == hook and not each.result and (member.id == id or (token and each.token == token))
        ]
        if not found:
            which = f"instance ID {id}" if id else f"token {token}"
            raise Refused("ValidationError", f"No active Lifecycle Action found with {which}")
        return found

    def activities(self, call: Call) -> Answer:
        names, wanted = call.get(NAME), call.names("ActivityIds")
        groups = [each for each in self.groups.values() if names in (None, each.name)]
        found = [each for group in groups for each in group.activities
                 if not wanted or each["ActivityId"] in wanted]  # fmt: skip
        most = call.get("MaxRecords")
        return {"Activities": found[:most] if most else found}

    # --- target groups, tags, policies

    def attach(self, call: Call) -> Answer:
        group = self._group(call)
        for each in call.names("TargetGroupARNs"):
            if each not in group.targets:
                group.targets.append(each)
                for member in group.members.values():
                    if member.state == "InService":
                        self.ground.register(each, member.id)
        return None

    def detach(self, call: Call) -> Answer:
        group = self._group(call)
        for each in call.names("TargetGroupARNs"):
            if each in group.targets:
                group.targets.remove(each)
                for member in group.members.values():
                    self.ground.deregister(each, member.id)
        return None

    def describe_targets(self, call: Call) -> Answer:
        found = [{"LoadBalancerTargetGroupARN": each, "State": "InService"} for each in self._group(call).targets]
        return {"LoadBalancerTargetGroups": found}

    def tag(self, call: Call) -> Answer:
        for said in call.get("Tags") or ():
            self._named(said["ResourceId"]).tags[said["Key"]] = _tag(said, said["ResourceId"])
        return None

    def untag(self, call: Call) -> Answer:
        for said in call.get("Tags") or ():
            self._named(said["ResourceId"]).tags.pop(said["Key"], None)
        return None

    def describe_tags(self, call: Call) -> Answer:
        filters = {each["Name"]: each["Values"] for each in call.get("Filters") or ()}
        wanted = filters.get("auto-scaling-group")
        return {"Tags": [each for group in self.groups.values() if wanted is None or group.name in wanted
                         for each in group.tags.values()]}  # fmt: skip

    def put_policy(self, call: Call) -> Answer:
        group, name = self._group(call), call.get("PolicyName")
        arn = f"arn:aws:autoscaling:{call.region}:{self.account}:scalingPolicy:{name}:policyName/{name}"
        group.scaling[name] = {"PolicyARN": arn, "Enabled": True, "Alarms": [], **call.asked}
        return {"PolicyARN": arn, "Alarms": []}

    def delete_policy(self, call: Call) -> Answer:
        for group in self.groups.values():
            for name, each in list(group.scaling.items()):
                if call.get("PolicyName") in (name, each["PolicyARN"]):
                    del group.scaling[name]
        return None

    def describe_policies(self, call: Call) -> Answer:
        groups = [each for each in self.groups.values() if call.get(NAME) in (None, each.name)]
        return {"ScalingPolicies": [each for group in groups for each in group.scaling.values()]}

    # --- behind it

    def _group(self, call: Call) -> Group:
        return self._named(call.get(NAME))

    def _named(self, name: str) -> Group:
        if name not in self.groups:
            raise Refused("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup {name} not found")
        return self.groups[name]

    def _of(self, group: Group, id: str) -> Member:
        if id not in group.members:
            raise Refused("ValidationError", f"The instance {id} is not part of Auto Scaling group {group.name}.")
        return group.members[id]

    def _in_service(self, id: str) -> tuple[Group, Member]:
        for group in self.groups.values():
            if id in group.members:
                return group, group.members[id]
        raise Refused("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {id}")

    def _stamp(self) -> str:
        return stamp(self._clock.now())


def _asked(group: Group, before: int, when: str) -> str:
    return (
        f"At {when} a user request update of AutoScalingGroup constraints to min: {group.least}, max: {group.most}, "
        f"desired: {group.desired} changing the desired capacity from {before} to {group.desired}."
    )


def _check_process(name: str) -> None:
    if name not in PROCESSES:
        raise Refused("ValidationError", f"Invalid process name: {name}")


def _hook(said: Mapping[str, Any]) -> Hook:
    if said.get("LifecycleTransition") not in (LAUNCHING, TERMINATING):
        raise Refused("ValidationError", f"Invalid lifecycle transition: {said.get('LifecycleTransition')}")
    return Hook(
        name=said["LifecycleHookName"],
        transition=said["LifecycleTransition"],
        timeout=int(said.get("HeartbeatTimeout", 3600)),
        default=said.get("DefaultResult", "ABANDON"),
        said=dict(said),
    )


def _said(hook: Hook) -> dict[str, Any]:
    return {**hook.said, "HeartbeatTimeout": hook.timeout, "DefaultResult": hook.default}


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
