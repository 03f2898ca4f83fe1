"""Auto Scaling groups, their instances and targets, as AWS answers: asked for, and told. Used by `engine`.

A look costs two paginated calls for all groups together, one for each target group, however many instances there are,
and one for each group that isn't whole.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from homeport.engines.aws import names
from homeport.engines.aws.activity import MOST, Activity, parse
from homeport.engines.aws.error import translated
from homeport.model.platform import Place
from homeport.plan.aws_name import record
from homeport.plan.aws_stacks import place_tags
from homeport.system.effect import effect

Client = Callable[[str], Any]
"""From a service to boto3's client for one account and region."""
ALIVE = ("pending", "running", "shutting-down", "stopping", "stopped")
RELEASE, NAME, NAME_ZONE = "homeport-release", "homeport-name", "homeport-names"
AT_ONCE = 50
"""Instances of one call: SetInstanceProtection, "You can specify up to 50 instances"."""
DOWN, GONE = ALIVE[2:], "Terminated"
"""EC2's states in which nothing runs any more; what a group says, for a moment, of one that has ended."""


class Member(Struct, frozen=True, kw_only=True):
    """An instance of a group. `lifecycle`: as its group says it; `tags` and `address` are empty while EC2 doesn't show
    it yet. `health`: of its target, empty where it isn't registered; `why`: in words."""

    id: str
    zone: str
    lifecycle: str
    well: bool
    """By its group's word."""
    address: str = ""
    public_address: str = ""
    launched_at: datetime | None = None
    down: bool = False
    """EC2 says that nothing runs on it any more."""
    tags: Mapping[str, str] = {}
    health: str = ""
    why: str = ""
    protected: bool = False
    """From scale-in, which Homeport decides about alone."""


class Pool(Struct, frozen=True, kw_only=True):
    """A group, as it stands. `activities`: what it did last, the newest first; asked for only while it isn't whole, or
    mayn't launch."""

    name: str
    app: str
    group: str
    capacity: int
    targets: tuple[str, ...]
    members: tuple[Member, ...]
    suspended: tuple[str, ...] = ()
    template: tuple[str, str] = ("", "")
    """Id and version of what its instances are launched from."""
    subnets: tuple[str, ...] = ()
    activities: tuple[Activity, ...] = ()

    def ending(self, instance: str) -> bool:
        """Whether it ends that one already."""
        return any(each.id == instance and each.lifecycle.startswith("Terminating") for each in self.members)

    @property
    def whole(self) -> bool:
        """As many as it wants, each in service."""
        return len(self.members) == self.capacity and all(each.lifecycle == "InService" for each in self.members)


class Fleet:
    """Of one environment. Everything may raise `Unavailable` and `Invalid`."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        self._filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in place_tags(place).items()]

    def look(self) -> tuple[Pool, ...]:
        """All groups that are there."""
        with translated("Auto Scaling groups"):
            pages = self._client("autoscaling").get_paginator("describe_auto_scaling_groups")
            groups = [each for page in pages.paginate(Filters=self._filters) for each in page["AutoScalingGroups"]]
        instances = self._instances() if any(each["Instances"] for each in groups) else {}
        return tuple(self._pool(each, instances) for each in sorted(groups, key=_name))

    def _instances(self) -> dict[str, Mapping[str, Any]]:
        filters = [*self._filters, {"Name": "instance-state-name", "Values": list(ALIVE)}]
        with translated("instances"):
            pages = self._client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
            return {
                each["InstanceId"]: each
                for page in pages
                for reservation in page["Reservations"]
                for each in reservation["Instances"]
            }

    def _pool(self, said: Mapping[str, Any], instances: Mapping[str, Mapping[str, Any]]) -> Pool:
        tags = {each["Key"]: each["Value"] for each in said.get("Tags", ())}
        targets = tuple(said.get("TargetGroupARNs", ()))
        health = self._health(targets) if said["Instances"] else {}
        launched = said.get("LaunchTemplate") or {}
        found = Pool(
            name=said["AutoScalingGroupName"],
            app=tags.get("homeport-app", ""),
            group=tags.get("homeport-group", ""),
            capacity=int(said["DesiredCapacity"]),
            targets=targets,
            members=tuple(
                _member(each, instances.get(each["InstanceId"]), health.get(each["InstanceId"], ("", "")))
                for each in said["Instances"]
                if each["LifecycleState"] != GONE
            ),
            suspended=tuple(each["ProcessName"] for each in said.get("SuspendedProcesses", ())),
            template=(launched.get("LaunchTemplateId", ""), launched.get("Version", "")),
            subnets=tuple(each for each in said.get("VPCZoneIdentifier", "").split(",") if each),
        )
        if found.whole and "Launch" not in found.suspended:
            return found
        return replace(found, activities=self.activities(found.name))

    def activities(self, name: str) -> tuple[Activity, ...]:
        """Of the group of that name, the newest first. "Activities are sorted by start time. Activities still in
        progress are described first." """
        with translated(f"the activities of {name}"):
            answer = self._client("autoscaling").describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=MOST)
        return tuple(parse(each) for each in answer["Activities"])

    def _health(self, targets: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Instance → (state, why) of its target."""
        found = {}
        for target in targets:
            with translated(f"the target group {target}"):
                answer = self._client("elbv2").describe_target_health(TargetGroupArn=target)
            for each in answer["TargetHealthDescriptions"]:
                health = each["TargetHealth"]
                why = health.get("Description") or health.get("Reason") or ""
                found[each["Target"]["Id"]] = (health["State"], why)
        return found

    # --- told ---------------------------------------------------------------------------------------------------------

    @effect("aws.set_capacity")
    def set_capacity(self, pool: Pool, count: int) -> None:
        with translated(f"the capacity of {pool.name}"):
            self._client("autoscaling").set_desired_capacity(
                AutoScalingGroupName=pool.name, DesiredCapacity=count, HonorCooldown=False
            )

    def put_in_service(self, pool: Pool, instances: Sequence[str]) -> Sequence[str]:
        """Those that come from standby: their launching hooks wait for a word of their agents'."""
        lifecycle = {each.id: each.lifecycle for each in pool.members}
        back = [each for each in instances if lifecycle.get(each) == "Standby"]
        for each in back:
            self._exit_standby(pool, each)
        if targets := [each for each in instances if lifecycle.get(each) == "InService"]:
            self._register(pool, targets)
        return back

    @effect("aws.enter_standby")
    def enter_standby(self, pool: Pool, instance: str) -> None:
        """Its group keeps one less beside it."""
        with translated(f"standby of {instance}"):
            self._client("autoscaling").enter_standby(
                AutoScalingGroupName=pool.name, InstanceIds=[instance], ShouldDecrementDesiredCapacity=True
            )

    @effect("aws.exit_standby")
    def _exit_standby(self, pool: Pool, instance: str) -> None:
        """Its group keeps one more. ExitStandby: "the desired capacity of the Auto Scaling group is incremented"."""
        with translated(f"standby of {instance}"):
            self._client("autoscaling").exit_standby(AutoScalingGroupName=pool.name, InstanceIds=[instance])

    @effect("aws.register")
    def _register(self, pool: Pool, instances: Sequence[str]) -> None:
        with translated(f"the targets {', '.join(instances)}"):
            for target in pool.targets:
                self._client("elbv2").register_targets(TargetGroupArn=target, Targets=_targets(instances))

    @effect("aws.deregister")
    def deregister(self, pool: Pool, instances: Sequence[str]) -> None:
        with translated(f"the targets {', '.join(instances)}"):
            for target in pool.targets:
                self._client("elbv2").deregister_targets(TargetGroupArn=target, Targets=_targets(instances))

    def terminate(self, pool: Pool, instance: str) -> None:
        """Its group ends it, and keeps one less; its name leads elsewhere from now on."""
        named = next((each for each in pool.members if each.id == instance and NAME in each.tags), None)
        if named is not None:
            said = record(named.tags[NAME], instance, named.address)
            names.take_out(self._client, named.tags[NAME_ZONE], said)
        self._terminate(instance)

    @effect("aws.terminate")
    def _terminate(self, instance: str) -> None:
        with translated(f"the instance {instance}"):
            self._client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=True
            )

    @effect("aws.tag")
    def tag(self, instances: Sequence[str], release: int) -> None:
        tags = [{"Key": RELEASE, "Value": f"r{release}"}]
        with translated(f"the tags of {', '.join(instances)}"):
            self._client("ec2").create_tags(Resources=list(instances), Tags=tags)

    @effect("aws.unprotect")
    def unprotect(self, pool: Pool, instances: Collection[str]) -> None:
        """They may go with the capacity."""
        chosen = [each.id for each in pool.members if each.protected and each.id in instances]
        with translated(f"the protection of instances of {pool.name}"):
            for first in range(0, len(chosen), AT_ONCE):
                self._client("autoscaling").set_instance_protection(
                    AutoScalingGroupName=pool.name,
                    InstanceIds=chosen[first : first + AT_ONCE],
                    ProtectedFromScaleIn=False,
                )

    @effect("aws.suspend")
    def suspend(self, pool: Pool, *, on: Collection[str], off: Collection[str]) -> None:
        """The group doesn't do the processes of `on` by itself, and those of `off` again."""
        scaling = self._client("autoscaling")
        with translated(f"the processes of {pool.name}"):
            over = sorted(set(pool.suspended) & set(off))
            fresh = sorted(set(on) - set(pool.suspended))
            if over:
                scaling.resume_processes(AutoScalingGroupName=pool.name, ScalingProcesses=over)
            if fresh:
                scaling.suspend_processes(AutoScalingGroupName=pool.name, ScalingProcesses=fresh)


def _targets(instances: Sequence[str]) -> list[dict[str, str]]:
    return [{"Id": each} for each in instances]


def _name(said: Mapping[str, Any]) -> str:
    return str(said["AutoScalingGroupName"])


def _member(said: Mapping[str, Any], instance: Mapping[str, Any] | None, health: tuple[str, str]) -> Member:
    seen = instance or {}
    return Member(
        id=said["InstanceId"],
        zone=said["AvailabilityZone"][-1:],
        lifecycle=said["LifecycleState"],
        well=said.get("HealthStatus", "Healthy").lower() == "healthy",
        address=seen.get("PrivateIpAddress", ""),
        public_address=seen.get("PublicIpAddress", ""),
        launched_at=seen.get("LaunchTime"),
        down=seen.get("State", {}).get("Name") in DOWN,
        tags={each["Key"]: each["Value"] for each in seen.get("Tags", ())},
        health=health[0],
        why=health[1],
        protected=bool(said.get("ProtectedFromScaleIn")),
    )
