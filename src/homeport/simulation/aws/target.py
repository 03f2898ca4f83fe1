"""Targets of Elastic Load Balancing: registered, probed for real, drained. moto calls every running target healthy.
Registered by `simulator`, which calls `tick`; `balancer` sends requests by what is here.

Pages named in docstrings are AWS's: User Guide for Application Load Balancers.
"""

import http.client
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import Struct

from homeport.ports.clock import Clock
from homeport.simulation.aws.inventory import Inventory
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused

PROBERS = 8
WORDS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.InvalidState": "Target is in the stopped state",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.Timeout": "Request timed out",
}


class Target(Struct, kw_only=True):
    """`probe_at`, `left_at`, `until`: of the paced clock. `good`, `bad`: probes in a row."""

    id: str
    port: int
    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    words: str = ""
    good: int = 0
    bad: int = 0
    probe_at: float = 0.0
    left_at: float = 0.0
    until: float = 0.0
    probing: bool = False


class Targets:
    """Of one region. `clock` is paced: of it intervals and delays are taken; a probe itself takes real time."""

    def __init__(self, inventory: Inventory, clock: Clock) -> None:
        self.inventory = inventory
        self._clock = clock
        self._lock = threading.RLock()
        self._groups: dict[str, dict[tuple[str, int], Target]] = {}
        self._told_at = 0.0
        self._pool = ThreadPoolExecutor(PROBERS, thread_name_prefix="probe")

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "RegisterTargets": self._register,
            "DeregisterTargets": self._deregister,
            "DescribeTargetHealth": self._describe,
        }

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def routable(self, group: str) -> dict[str, tuple[str, int]]:
        """Where requests may go: instance → address and port. Page "Target group health": where no target is healthy,
        requests go to all that are registered (fail open)."""
        with self._lock:
            there = list(self._groups.get(group, {}).values())
        well = [each for each in there if each.state == "healthy"]
        chosen = well or [each for each in there if each.state in ("unhealthy", "initial")]
        found = {}
        for each in chosen:
            address = self._address(each.id)
            if address:
                found[each.id] = (address, each.port)
        return found

    def leaving(self, group: str) -> set[str]:
        """Addresses with ports that get nothing new, and may still have requests: of targets that drain or are ill."""
        with self._lock:
            there = [each for each in self._groups.get(group, {}).values() if each.state in ("draining", "unhealthy")]
        return {f"{self._address(each.id)}:{each.port}" for each in there}

    def now(self) -> float:
        return self._clock.monotonic()

    def told(self, at: float) -> None:
        """Requests are sent by what was here at that time, or later: who had begun to drain by then gets none."""
        self._told_at = at

    # --- for the groups of servers

    def register(self, group: str, id: str, port: int | None = None) -> None:
        said = self.inventory.balancing().groups.get(group)
        if said is None:
            raise Refused("TargetGroupNotFound", f"One or more target groups not found: {group}")
        chosen = int(port or said["Port"])
        with self._lock:
            there = self._groups.setdefault(group, {})
            known = there.get((id, chosen))
            if known is None or known.state == "draining":
                there[id, chosen] = Target(id=id, port=chosen)

    def deregister(self, group: str, id: str, port: int | None = None) -> None:
        """Page "Edit target group attributes", deregistration delay: "The initial state of a deregistering target is
        draining"; it "is displayed as draining until the deregistration delay expires"."""
        said = self.inventory.balancing().groups.get(group)
        delay = float(said["Attributes"].get("deregistration_delay.timeout_seconds", "300")) if said else 0.0
        with self._lock:
            for each in self._groups.get(group, {}).values():
                if each.id == id and port in (None, each.port) and each.state != "draining":
                    each.state, each.reason, each.words = "draining", "Target.DeregistrationInProgress", ""
                    each.left_at = self._clock.monotonic()
                    each.until = each.left_at + delay

    def health(self, group: str, id: str) -> str:
        """The worst of its ports; `unused` where it isn't registered."""
        with self._lock:
            states = [each.state for each in self._groups.get(group, {}).values() if each.id == id]
        order = ("unhealthy", "draining", "initial", "healthy")
        return min(states, key=order.index, default="unused") if set(states) <= set(order) else "unused"

    # --- the API

    def _register(self, call: Call) -> Answer:
        for each in call.get("Targets") or ():
            instance = self.inventory.instances().get(each["Id"])
            if instance is None or instance["State"]["Name"] != "running":
                raise Refused("InvalidTarget", f"The following targets are not in a running state and cannot be "
                              f"registered: '{each['Id']}'")  # fmt: skip
            self.register(call.get("TargetGroupArn"), each["Id"], each.get("Port"))
        return None

    def _deregister(self, call: Call) -> Answer:
        for each in call.get("Targets") or ():
            self.deregister(call.get("TargetGroupArn"), each["Id"], each.get("Port"))
        return None

    def _describe(self, call: Call) -> Answer:
        arn = call.get("TargetGroupArn")
        group = self.inventory.balancing().groups.get(arn)
        if group is None:
            raise Refused("TargetGroupNotFound", f"One or more target groups not found: {arn}")
        with self._lock:
            there = list(self._groups.get(arn, {}).values())
        said = [_said(each) for each in there]
        if asked := call.get("Targets"):
            wanted = {(each["Id"], int(each.get("Port") or group["Port"])) for each in asked}
            known = {(each.id, each.port) for each in there}
            said = [_said(each) for each in there if (each.id, each.port) in wanted]
            said += [_said(Target(id=id, port=port, state="unused", reason="Target.NotRegistered"))
                     for id, port in sorted(wanted - known)]  # fmt: skip
        return {"TargetHealthDescriptions": said}

    # --- by itself

    def tick(self) -> None:
        """What is due is being probed; what has drained is gone."""
        balancing, now = self.inventory.balancing(), self._clock.monotonic()
        with self._lock:
            for arn in [each for each in self._groups if each not in balancing.groups]:
                del self._groups[arn]
            for arn, there in self._groups.items():
                used = balancing.in_use(arn)
                for key, target in list(there.items()):
                    self._step(there, key, target, balancing.groups[arn], used, now)

    def _step(
        self, there: dict[Any, Target], key: Any, target: Target, group: dict[str, Any], used: bool, now: float
    ) -> None:
        instance = self.inventory.instances().get(target.id)
        state = instance["State"]["Name"] if instance else "terminated"
        drained = target.state == "draining" and now >= target.until and self._told_at > target.left_at
        if state in ("terminated", "shutting-down") or drained:
            # page "Register targets": an instance that is terminated is deregistered
            del there[key]
        elif target.state == "draining":
            return
        elif state != "running":
            self._become(target, "unused", "Target.InvalidState")
        elif not used:
            # page "Health checks": a target group that no listener uses isn't checked
            self._become(target, "unused", "Target.NotInUse")
        elif not target.probing and now >= target.probe_at:
            if target.state == "unused":
                self._become(target, "initial", "Elb.InitialHealthChecking")
            target.probing = True
            target.probe_at = now + float(group["HealthCheckIntervalSeconds"])
            self._pool.submit(self._probe, target, group, str(instance["PrivateIpAddress"] if instance else ""))

    def _probe(self, target: Target, group: dict[str, Any], address: str) -> None:
        """Page "Health checks": after it is registered, a target "must pass one health check to be considered healthy";
        an unhealthy one as many in a row as HealthyThresholdCount says, a healthy one may fail fewer than
        UnhealthyThresholdCount."""
        try:
            reason, words = _looked(group, address, target.port)
        finally:
            target.probing = False
        with self._lock:
            if target.state == "draining":
                return
            target.good, target.bad = (target.good + 1, 0) if not reason else (0, target.bad + 1)
            needed = 1 if target.state == "initial" else int(group["HealthyThresholdCount"])
            if not reason and target.good >= needed:
                self._become(target, "healthy", "")
            elif reason and target.bad >= int(group["UnhealthyThresholdCount"]):
                self._become(target, "unhealthy", reason, words)
            elif target.state == "initial":
                target.reason = "Elb.InitialHealthChecking"

    def _become(self, target: Target, state: str, reason: str, words: str = "") -> None:
        target.state, target.reason, target.words = state, reason, words

    def _address(self, id: str) -> str:
        instance = self.inventory.instances().get(id)
        return str(instance.get("PrivateIpAddress") or "") if instance else ""


def _said(target: Target) -> dict[str, Any]:
    health = {"State": target.state}
    if target.reason:
        health |= {"Reason": target.reason, "Description": target.words or WORDS.get(target.reason, "")}
    return {"Target": {"Id": target.id, "Port": target.port}, "HealthCheckPort": str(target.port),
            "TargetHealth": health}  # fmt: skip


def _looked(group: Mapping[str, Any], address: str, port: int) -> tuple[str, str]:
    """Reason and words why the probe failed; empty: it passed. Page "Health checks", health check settings."""
    stated = str(group.get("HealthCheckPort") or "traffic-port")
    chosen = port if stated == "traffic-port" else int(stated)
    seconds = float(group.get("HealthCheckTimeoutSeconds") or 5)
    try:
        if group.get("HealthCheckProtocol") == "TCP":
            socket.create_connection((address, chosen), seconds).close()
            return "", ""
        connection = http.client.HTTPConnection(address, chosen, timeout=seconds)
        try:
            connection.request(
                "GET", group.get("HealthCheckPath") or "/", headers={"User-Agent": "ELB-HealthChecker/2.0"}
            )
            status = connection.getresponse().status
        finally:
            connection.close()
    except TimeoutError:
        return "Target.Timeout", ""
    except (OSError, http.client.HTTPException):
        return "Target.FailedHealthChecks", ""
    if matches(str(group.get("Matcher", {}).get("HttpCode") or "200"), status):
        return "", ""
    return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"


def matches(matcher: str, status: int) -> bool:
    """Page "Health checks", success codes: "values or ranges … for example, "200,202" or "200-299""."""
    for each in matcher.split(","):
        first, _, last = each.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
