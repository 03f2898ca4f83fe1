"""Run Command of Systems Manager: its API over `command_model` and `command_run`, by which scripts are carried out on
simulated machines. moto says Success at once and runs nothing. Registered by `simulator`.

Sentences in quotation marks are AWS's: Systems Manager API Reference; pages named are of its User Guide.
"""

import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from homeport.ports.clock import Clock
from homeport.simulation.aws.command_model import DOCUMENT, Command, Invocation, described, end, listed, shown
from homeport.simulation.aws.command_run import Runner
from homeport.simulation.aws.hypervisor import Hypervisor
from homeport.simulation.aws.inventory import Inventory
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused

DEFAULT_SECONDS = 3600.0
MOST_IDS = 50


class Commands:
    """Of one region."""

    def __init__(self, hypervisor: Hypervisor, inventory: Inventory, rights: Rights, clock: Clock) -> None:
        self._rights = rights
        self._hypervisor = hypervisor
        self._inventory = inventory
        self._clock = clock
        self._lock = threading.RLock()
        self._commands: dict[str, Command] = {}
        self._runner = Runner(hypervisor, clock, self._lock)
        self.deaf = self._runner.deaf
        """As of `Runner`."""

    def behaviours(self) -> Mapping[str, Behaviour]:
        return {
            "SendCommand": self.send,
            "CancelCommand": self.cancel,
            "ListCommands": self.list_commands,
            "ListCommandInvocations": self.list_invocations,
            "GetCommandInvocation": self.invocation,
            "DescribeInstanceInformation": self.information,
        }

    def stop(self) -> None:
        self._runner.stop()

    # --- the API

    def send(self, call: Call) -> Answer:
        if call.get("DocumentName") != DOCUMENT:
            raise Refused("InvalidDocument", f"the simulator carries out {DOCUMENT} only")
        given = call.get("Parameters") or {}
        if not given.get("commands"):
            raise Refused("InvalidParameters", 'Parameter "commands" requires a value.')
        chosen = self._chosen(call)
        with self._lock:
            number = hashlib.sha256(f"{call.asked} {len(self._commands)}".encode()).hexdigest()
            command = Command(
                id=f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:32]}",
                said=call.asked,
                script="\n".join(given["commands"]) + "\n",
                directory=(given.get("workingDirectory") or [""])[0],
                limit_seconds=float((given.get("executionTimeout") or [DEFAULT_SECONDS])[0] or DEFAULT_SECONDS),
                asked_at=self._clock.now(),
                concurrency=max(1, _share(call.get("MaxConcurrency", "50"), len(chosen))),
                errors=_share(call.get("MaxErrors", "0"), len(chosen)),
            )
            command.invocations = {id: Invocation(id=id, asked_at=command.asked_at) for id in chosen}
            self._commands[command.id] = command
        self._runner.begin(command)
        return {"Command": described(command)}

    def cancel(self, call: Call) -> Answer:
        command = self._command(call)
        wanted = call.names("InstanceIds") or list(command.invocations)
        with self._lock:
            command.cancelled = command.cancelled or not call.names("InstanceIds")
            for id in wanted:
                each = command.invocations[id]
                if each.status == "Pending":
                    end(each, "Cancelled", "Cancelled", self._clock.now())
                elif each.status == "InProgress":
                    each.status = each.details = "Cancelling"
        return None

    def list_commands(self, call: Call) -> Answer:
        with self._lock:
            found = [each for each in self._commands.values() if call.get("CommandId") in (None, each.id)]
            return {"Commands": [described(each) for each in reversed(found)]}

    def list_invocations(self, call: Call) -> Answer:
        with self._lock:
            found = [
                listed(command, each, bool(call.get("Details")))
                for command in self._commands.values()
                for each in command.invocations.values()
                if call.get("CommandId") in (None, command.id) and call.get("InstanceId") in (None, each.id)
            ]
        return {"CommandInvocations": found}

    def invocation(self, call: Call) -> Answer:
        command = self._command(call)
        with self._lock:
            each = command.invocations.get(call.get("InstanceId"))
            if each is None:
                # "The command ID and managed node ID you specified didn't match any invocations."
                raise Refused("InvocationDoesNotExist", "")
            return shown(command, each, call.get("PluginName"))

    def information(self, call: Call) -> Answer:
        filters = {each["Key"]: each["Values"] for each in call.get("Filters") or ()}
        filters |= {each["key"]: each["valueSet"] for each in call.get("InstanceInformationFilterList") or ()}
        found = []
        for id in self._managed():
            instance = self._inventory.instances()[id]
            if not _passes(instance, filters):
                continue
            found.append(
                {
                    "InstanceId": id,
                    "PingStatus": "ConnectionLost" if id in self.deaf else "Online",
                    "LastPingDateTime": self._clock.now(),
                    "AgentVersion": "3.3.0.0",
                    "IsLatestVersion": True,
                    "PlatformType": "Linux",
                    "PlatformName": "Debian GNU/Linux",
                    "ResourceType": "EC2Instance",
                    "IPAddress": instance.get("PrivateIpAddress", ""),
                    "ComputerName": instance.get("PrivateDnsName", ""),
                }
            )
        return {"InstanceInformationList": found}

    # --- who

    def _managed(self) -> list[str]:
        """Page "Configure instance permissions for Systems Manager": an instance whose role lets its agent work."""
        roles = {id: self._hypervisor.role(id) for id in self._hypervisor.booted()}
        return [id for id, role in roles.items() if role and self._rights.manages(role)]

    def _chosen(self, call: Call) -> list[str]:
        """SendCommand, InstanceIds: "You can specify up to 50"; Targets: by tags, those that are managed now."""
        managed, asked = self._managed(), call.names("InstanceIds")
        if len(asked) > MOST_IDS:
            raise Refused("ValidationException", "Member must have length less than or equal to 50")
        if asked:
            wrong = [each for each in asked if each not in managed]
            if wrong:
                raise Refused("InvalidInstanceId", f"Instances [[{', '.join(wrong)}]] not in a valid state for account")
            return list(dict.fromkeys(asked))
        filters = {each["Key"]: each["Values"] for each in call.get("Targets") or ()}
        if not filters:
            raise Refused("InvalidTarget", "Either InstanceIds or Targets must be specified")
        instances = self._inventory.instances()
        return [id for id in managed if _passes(instances[id], filters)]

    def _command(self, call: Call) -> Command:
        found = self._commands.get(call.get("CommandId"))
        if found is None:
            raise Refused("InvalidCommandId", "")
        return found


def _share(said: str, of: int) -> int:
    """A number, or a percentage of the targets."""
    return int(said[:-1]) * of // 100 if said.endswith("%") else int(said)


def _passes(instance: Mapping[str, Any], filters: Mapping[str, list[str]]) -> bool:
    tags = {each["Key"]: each["Value"] for each in instance.get("Tags", ())}
    for key, values in filters.items():
        match key:
            case "InstanceIds":
                fits = instance["InstanceId"] in values
            case "tag-key":
                fits = any(each in tags for each in values)
            case "PingStatus":
                fits = "Online" in values
            case _ if key.startswith("tag:"):
                fits = tags.get(key[4:]) in values
            case _:
                raise Refused("InvalidFilterKey", f"the simulator doesn't choose by {key}")
        if not fits:
            return False
    return True
