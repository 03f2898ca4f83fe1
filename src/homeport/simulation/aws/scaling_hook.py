"""The simulated Auto Scaling's calls about life-cycle hooks, and about the actions that they wait for. Registered by
`scaling`.

Sentences in quotation marks are AWS's: Amazon EC2 Auto Scaling API Reference.
"""

from collections.abc import Mapping
from typing import Any

from homeport.simulation.aws.scaling_group import Groups
from homeport.simulation.aws.scaling_model import LAUNCHING, TERMINATING, Hook, Waiting, described_hook
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused


class Hooks:
    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "PutLifecycleHook": self.put,
            "DeleteLifecycleHook": self.delete,
            "DescribeLifecycleHooks": self.describe,
            "CompleteLifecycleAction": self.complete,
            "RecordLifecycleActionHeartbeat": self.heartbeat,
        }

    def put(self, call: Call) -> Answer:
        group, said = self._groups.of(call), dict(call.asked)
        old = group.hooks.get(said["LifecycleHookName"])
        hook = made({**(_said(old) if old else {}), **said})
        group.hooks[hook.name] = hook
        return None

    def delete(self, call: Call) -> Answer:
        """ "If there are any outstanding lifecycle actions, they are completed first (ABANDON for launching instances,
        CONTINUE for terminating instances)." """
        group = self._groups.of(call)
        hook = group.hooks.pop(call.get("LifecycleHookName"), None)
        if hook is None:
            raise Refused("ValidationError", f"Lifecycle hook {call.get('LifecycleHookName')} not found")
        for member in group.members.values():
            for each in member.waiting:
                if each.hook.name == hook.name:
                    each.result = "ABANDON" if hook.transition == LAUNCHING else "CONTINUE"
        return None

    def describe(self, call: Call) -> Answer:
        group, wanted = self._groups.of(call), call.names("LifecycleHookNames")
        found = [each for each in group.hooks.values() if not wanted or each.name in wanted]
        return {"LifecycleHooks": [described_hook(group, each) for each in found]}

    def complete(self, call: Call) -> Answer:
        for each in self._waits(call):
            each.result = call.get("LifecycleActionResult")
        return None

    def heartbeat(self, call: Call) -> Answer:
        """ "This extends the timeout by the length of time defined using the PutLifecycleHook API call." """
        for each in self._waits(call):
            each.until = self._groups.clock.monotonic() + each.hook.timeout
        return None

    def _waits(self, call: Call) -> list[Waiting]:
        group = self._groups.of(call)
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


def made(said: Mapping[str, Any]) -> Hook:
    """From what a call says of it. Raises `Refused`."""
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
