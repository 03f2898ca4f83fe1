"""Auto Scaling groups, their instances and targets, as AWS answers: asked for, and told. Used by `engine`.

A look costs two paginated calls for all groups together, one for each target group, however many instances there are,
and one for each group that has fewer than it wants.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from homeport.engines.aws.error import translated
from homeport.model.platform import Place
from homeport.system.effect import effect

Client = Callable[[str], Any]
"""From a service to boto3's client for one account and region."""
ALIVE = ("pending", "running", "shutting-down", "stopping", "stopped")
RELEASE = "homeport-release"
LAUNCHING, ACTIVITIES = "Launching", 20
"""How descriptions of launches begin; so many activities are looked at."""


class Member(Struct, frozen=True, kw_only=True):
    """An instance of a group. `lifecycle`: as its group says it; `tags` and `address` are empty while EC2 doesn't show
    it yet. `health`: of its target, empty where it isn't registered; `why`: in words."""

    id: str
    zone: str
    lifecycle: str
    well: bool
    """By its group's word."""
    address: str = ""
    launched_at: datetime | None = None
    tags: Mapping[str, str] = {}
    health: str = ""
    why: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """A launch that came to nothing: in EC2's words."""

    id: str
    at: datetime
    why: str


class Pool(Struct, frozen=True, kw_only=True):
    """A group, as it stands. `refusals`: launches that failed since the last that didn't, the newest first; asked for
    only while the group has fewer than it wants."""

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
    refusals: tuple[Refusal, ...] = ()


class Fleet:
    """Of one environment. Everything may raise `Unavailable` and `Invalid`."""

    def __init__(self, client: Client, place: Place) -> None:
        self._client = client
        said = {"homeport-platform": place.platform, "homeport-environment": place.name}
        self._filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in said.items()]

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
        return Pool(
            name=said["AutoScalingGroupName"],
            app=tags.get("homeport-app", ""),
            group=tags.get("homeport-group", ""),
            capacity=int(said["DesiredCapacity"]),
            targets=targets,
            members=tuple(
                _member(each, instances.get(each["InstanceId"]), health.get(each["InstanceId"], ("", "")))
                for each in said["Instances"]
            ),
            suspended=tuple(each["ProcessName"] for each in said.get("SuspendedProcesses", ())),
            template=(launched.get("LaunchTemplateId", ""), launched.get("Version", "")),
            subnets=tuple(each for each in said.get("VPCZoneIdentifier", "").split(",") if each),
            refusals=self._refusals(said) if len(said["Instances"]) < int(said["DesiredCapacity"]) else (),
        )

    def _refusals(self, said: Mapping[str, Any]) -> tuple[Refusal, ...]:
        """DescribeScalingActivities: "Activities are sorted by start time. Activities still in progress are described
        first." """
        name = said["AutoScalingGroupName"]
        with translated(f"the activities of {name}"):
            answer = self._client("autoscaling").describe_scaling_activities(
                AutoScalingGroupName=name, MaxRecords=ACTIVITIES
            )
        found = []
        for each in answer["Activities"]:
            if each["StatusCode"] == "Failed":
                why = each.get("StatusMessage") or each["Description"]
                found.append(Refusal(id=each["ActivityId"], at=each["StartTime"], why=why))
            elif each["StatusCode"] == "Successful" and each["Description"].startswith(LAUNCHING):
                break
        return tuple(found)

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

    def put_in_service(self, pool: Pool, instance: str) -> bool:
        """Whether it comes from standby: then its launching hook waits for a word of its agent's."""
        lifecycle = next((each.lifecycle for each in pool.members if each.id == instance), "")
        if lifecycle == "Standby":
            self._exit_standby(pool, instance)
        elif lifecycle == "InService":
            self._register(pool, instance)
        return lifecycle == "Standby"

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
    def _register(self, pool: Pool, instance: str) -> None:
        with translated(f"the target {instance}"):
            for target in pool.targets:
                self._client("elbv2").register_targets(TargetGroupArn=target, Targets=[{"Id": instance}])

    @effect("aws.deregister")
    def deregister(self, pool: Pool, instance: str) -> None:
        with translated(f"the target {instance}"):
            for target in pool.targets:
                self._client("elbv2").deregister_targets(TargetGroupArn=target, Targets=[{"Id": instance}])

    @effect("aws.terminate")
    def terminate(self, instance: str) -> None:
        """Its group ends it, and keeps one less."""
        with translated(f"the instance {instance}"):
            self._client("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=True
            )

    @effect("aws.tag")
    def tag(self, instance: str, release: int) -> None:
        with translated(f"the tags of {instance}"):
            self._client("ec2").create_tags(Resources=[instance], Tags=[{"Key": RELEASE, "Value": f"r{release}"}])

    @effect("aws.suspend")
    def suspend(self, pool: Pool, processes: Sequence[str]) -> None:
        """These, and no others, aren't done by the group itself."""
        scaling = self._client("autoscaling")
        with translated(f"the processes of {pool.name}"):
            over = sorted(set(pool.suspended) - set(processes))
            fresh = sorted(set(processes) - set(pool.suspended))
            if over:
                scaling.resume_processes(AutoScalingGroupName=pool.name, ScalingProcesses=over)
            if fresh:
                scaling.suspend_processes(AutoScalingGroupName=pool.name, ScalingProcesses=fresh)


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
        launched_at=seen.get("LaunchTime"),
        tags={each["Key"]: each["Value"] for each in seen.get("Tags", ())},
        health=health[0],
        why=health[1],
    )
