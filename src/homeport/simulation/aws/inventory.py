"""What moto knows of instances, subnets and balancers, asked again only once something there has changed. Used by all
that the simulator does by itself."""

import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from msgspec import Struct

from homeport.simulation.aws.service import Door
from homeport.simulation.aws.stack_type import missing

Clients = Callable[[str], Any]
NOT_OVER = ("pending", "running", "shutting-down", "stopping", "stopped")


class Balancing(Struct, frozen=True):
    """As Elastic Load Balancing describes itself; `groups` and `balancers` with their attributes under `Attributes`,
    listeners with their `Rules`. By ARN."""

    groups: dict[str, dict[str, Any]]
    balancers: dict[str, dict[str, Any]]
    listeners: dict[str, dict[str, Any]]

    def in_use(self, group: str) -> bool:
        """Whether a listener or rule forwards to it."""
        actions = [
            action
            for listener in self.listeners.values()
            for said in (listener, *listener["Rules"])
            for action in said.get("DefaultActions") or said.get("Actions") or ()
        ]
        return any(group in (each for each, _ in forwards(action)) for action in actions)


def forwards(action: dict[str, Any]) -> list[tuple[str, int]]:
    """Target groups and their weights of an action that forwards; none of another."""
    if action.get("Type") != "forward":
        return []
    several = action.get("ForwardConfig", {}).get("TargetGroups") or ()
    found = [(each["TargetGroupArn"], int(each.get("Weight", 1))) for each in several]
    return found or [(action["TargetGroupArn"], 1)]


class Inventory:
    """Of one region."""

    def __init__(self, client: Clients, door: Door) -> None:
        self._client = client
        self._door = door
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, Any]] = {}
        self._zones: dict[str, str] = {}
        self._over: dict[str, dict[str, Any]] = {}
        """Instances that have ended: nothing changes in them any more, and moto takes long to describe them."""

    def instances(self) -> dict[str, dict[str, Any]]:
        """By id, those that have ended too, as they were last seen."""
        found: dict[str, dict[str, Any]] = self._kept("ec2", self._instances)
        return found

    def balancing(self) -> Balancing:
        found: Balancing = self._kept("elbv2", self._balancing)
        return found

    def zone(self, subnet: str) -> str:
        if subnet not in self._zones:
            found = self._client("ec2").describe_subnets(SubnetIds=[subnet])["Subnets"][0]
            self._zones[subnet] = found["AvailabilityZone"]
        return self._zones[subnet]

    def _kept(self, service: str, ask: Callable[[], Any]) -> Any:
        with self._lock:
            changes = self._door.changes[service]
            kept = self._known.get(service)
            if kept is None or kept[0] != changes:
                # counted before asking: what changes meanwhile is asked for again
                try:
                    kept = self._known[service] = (changes, ask())
                except ClientError as error:
                    # something went between two questions; the next look sees it
                    if kept is None or not missing(error):
                        raise
            return kept[1]

    def _instances(self) -> dict[str, dict[str, Any]]:
        wanted = [{"Name": "instance-state-name", "Values": list(NOT_OVER)}]
        pages = self._client("ec2").get_paginator("describe_instances").paginate(Filters=wanted)
        there = {one["InstanceId"]: one for page in pages for each in page["Reservations"] for one in each["Instances"]}
        known: dict[str, dict[str, Any]] = self._known["ec2"][1] if "ec2" in self._known else {}
        ended = {"State": {"Code": 48, "Name": "terminated"}}
        self._over |= {id: each | ended for id, each in known.items() if id not in there and id not in self._over}
        return self._over | there

    def _balancing(self) -> Balancing:
        elb = self._client("elbv2")
        groups = {each["TargetGroupArn"]: each for page in elb.get_paginator("describe_target_groups").paginate()
                  for each in page["TargetGroups"]}  # fmt: skip
        for arn, each in groups.items():
            each["Attributes"] = _pairs(elb.describe_target_group_attributes(TargetGroupArn=arn))
        balancers = {each["LoadBalancerArn"]: each for page in elb.get_paginator("describe_load_balancers").paginate()
                     for each in page["LoadBalancers"]}  # fmt: skip
        listeners = {}
        for arn, each in balancers.items():
            each["Attributes"] = _pairs(elb.describe_load_balancer_attributes(LoadBalancerArn=arn))
            for listener in elb.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
                listener["Rules"] = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
                listeners[listener["ListenerArn"]] = listener
        return Balancing(groups, balancers, listeners)


def _pairs(answer: dict[str, Any]) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in answer["Attributes"]}
