"""What the simulated Auto Scaling knows of groups, members, hooks and activities. Used by the others called
`scaling`."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
PROCESSES = (
    "Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh",
    "ReplaceUnhealthy", "ScheduledActions",
)  # fmt: skip
PENDING = ("Pending", "Pending:Wait", "Pending:Proceed")
LEAVING = ("Terminating", "Terminating:Wait", "Terminating:Proceed", "Terminated")
MOST_ACTIVITIES = 1000


class Hook(Struct, kw_only=True):
    """`timeout`, `longest`: seconds; API, PutLifecycleHook, GlobalTimeout: the lesser of 48 hours and 100 times the
    heartbeat timeout."""

    name: str
    transition: str
    timeout: int = 3600
    default: str = "ABANDON"
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        return min(172_800, 100 * self.timeout)


class Waiting(Struct, kw_only=True):
    """A hook that a member waits for. `until`, `at_last`: of the monotonic clock."""

    hook: Hook
    token: str
    until: float
    at_last: float
    result: str = ""
    late: bool = False
    """Nobody completed it in time."""


class Member(Struct, kw_only=True):
    """`since`: monotonic, when it got into its state. `waiting`: hooks that aren't complete."""

    id: str
    zone: str
    type: str
    template: dict[str, str]
    state: str = "Pending"
    health: str = "Healthy"
    protected: bool = False
    since: float
    launched_at: datetime
    waiting: list[Waiting] = field(default_factory=list)
    activity: dict[str, Any] = field(default_factory=dict)
    hooked: bool = False
    """Whether the hooks of its leaving have been begun."""

    def enter(self, state: str, now: float) -> None:
        self.state, self.since = state, now


class Group(Struct, kw_only=True):
    name: str
    arn: str
    least: int
    most: int
    desired: int
    subnets: list[str]
    template: dict[str, str]
    targets: list[str] = field(default_factory=list)
    health_type: str = "EC2"
    grace: int = 0
    cooldown: int = 300
    protect_new: bool = False
    policies: list[str] = field(default_factory=lambda: ["Default"])
    hooks: dict[str, Hook] = field(default_factory=dict)
    suspended: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    activities: list[dict[str, Any]] = field(default_factory=list)
    scaling: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Policies by name."""
    created_at: datetime
    deleting: bool = False
    launch_after: float = 0.0
    """Monotonic: not before, because the last launch failed."""
    attached: set[str] = field(default_factory=set)
    """Target groups of which an instance has been healthy: only then are ill ones replaced."""
    failures: int = 0
    serial: int = 0
    why: str = ""
    """Why the next launches and ends happen, where somebody asked for it: a sentence for the activity's cause."""
    lifetime: Any = None

    def counted(self) -> list[Member]:
        """Those that count as capacity."""
        return [each for each in self.members.values() if each.state in (*PENDING, "InService")]

    def begin(self, words: str, cause: str, now: datetime, status: str = "InProgress") -> dict[str, Any]:
        """An activity, the newest first."""
        self.serial += 1
        number = hashlib.sha256(f"{self.arn} {self.serial}".encode()).hexdigest()[:32]
        found: dict[str, Any] = {
            "ActivityId": f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}",
            "AutoScalingGroupName": self.name,
            "AutoScalingGroupARN": self.arn,
            "Description": words,
            "Cause": cause,
            "StartTime": now,
            "StatusCode": status,
            "Progress": 0,
            "Details": "{}",
        }
        self.activities.insert(0, found)
        del self.activities[MOST_ACTIVITIES:]
        return found

    def on(self, process: str) -> bool:
        return process not in self.suspended


def end(activity: dict[str, Any], now: datetime, status: str = "Successful", message: str = "") -> None:
    if activity and "EndTime" not in activity:
        activity |= {"EndTime": now, "StatusCode": status, "Progress": 100}
        if message:
            activity["StatusMessage"] = message


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def described_member(member: Member) -> dict[str, Any]:
    return {
        "InstanceId": member.id,
        "InstanceType": member.type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.state,
        "HealthStatus": member.health,
        "LaunchTemplate": member.template,
        "ProtectedFromScaleIn": member.protected,
    }


def described(group: Group, zones: list[str]) -> dict[str, Any]:
    return {
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "LaunchTemplate": group.template,
        "MinSize": group.least,
        "MaxSize": group.most,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": group.cooldown,
        "AvailabilityZones": zones,
        "LoadBalancerNames": [],
        "TargetGroupARNs": group.targets,
        "HealthCheckType": group.health_type,
        "HealthCheckGracePeriod": group.grace,
        "Instances": [described_member(each) for each in group.members.values()],
        "CreatedTime": group.created_at,
        "SuspendedProcesses": [
            {"ProcessName": name, "SuspensionReason": reason} for name, reason in sorted(group.suspended.items())
        ],
        "VPCZoneIdentifier": ",".join(group.subnets),
        "EnabledMetrics": [],
        "Status": "Delete in progress" if group.deleting else None,
        "Tags": list(group.tags.values()),
        "TerminationPolicies": group.policies,
        "NewInstancesProtectedFromScaleIn": group.protect_new,
        "MaxInstanceLifetime": group.lifetime,
        "TrafficSources": [{"Identifier": each, "Type": "elbv2"} for each in group.targets],
    }


def described_hook(group: Group, hook: Hook) -> dict[str, Any]:
    return {
        "LifecycleHookName": hook.name,
        "AutoScalingGroupName": group.name,
        "LifecycleTransition": hook.transition,
        "HeartbeatTimeout": hook.timeout,
        "GlobalTimeout": hook.longest,
        "DefaultResult": hook.default,
        **{name: hook.said[name] for name in ("NotificationMetadata", "NotificationTargetARN", "RoleARN")
           if name in hook.said},
    }  # fmt: skip
