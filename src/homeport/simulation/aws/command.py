"""Run Command of Systems Manager: scripts carried out on simulated machines, with true output and exit status. moto
says Success at once and runs nothing. Registered by `simulator`.

Sentences in quotation marks are AWS's: Systems Manager API Reference; pages named are of its User Guide.
"""

import hashlib
import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

from homeport.ports.clock import Clock
from homeport.simulation.aws.hypervisor import Hypervisor
from homeport.simulation.aws.inventory import Inventory
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.service import Answer, Behaviour, Call, Refused

DOCUMENT = "AWS-RunShellScript"
OUTPUT_CHARACTERS, ERROR_CHARACTERS, LISTED_CHARACTERS = 24_000, 8_000, 2_500
"""GetCommandInvocation: "The first 24,000 characters written by the plugin to stdout", 8,000 to stderr."""
DEFAULT_SECONDS, DELIVERY_SECONDS = 3600.0, 3600
LOOK_SECONDS = 0.2
MOST_IDS = 50


class Invocation(Struct, kw_only=True):
    """On one instance. `code` -1: it hasn't ended."""

    id: str
    asked_at: datetime
    status: str = "Pending"
    details: str = "Pending"
    code: int = -1
    output: str = ""
    error: str = ""
    began_at: datetime | None = None
    ended_at: datetime | None = None


class Command(Struct, kw_only=True):
    id: str
    said: dict[str, Any]
    script: str
    directory: str
    limit_seconds: float
    asked_at: datetime
    concurrency: int
    errors: int
    cancelled: bool = False
    invocations: dict[str, Invocation] = field(default_factory=dict)


class Commands:
    """Of one region. `clock` is paced, for waits that are AWS's own; what runs on a machine takes real time."""

    def __init__(self, hypervisor: Hypervisor, inventory: Inventory, rights: Rights, clock: Clock) -> None:
        self._rights = rights
        self._hypervisor = hypervisor
        self._inventory = inventory
        self._clock = clock
        self._lock = threading.RLock()
        self._commands: dict[str, Command] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()

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
        self._stopped.set()
        for each in self._threads:
            each.join()

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
        thread = threading.Thread(target=self._carry_out, args=(command,), name=f"command {command.id}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()
        return {"Command": _described(command)}

    def cancel(self, call: Call) -> Answer:
        command = self._command(call)
        wanted = call.names("InstanceIds") or list(command.invocations)
        with self._lock:
            command.cancelled = command.cancelled or not call.names("InstanceIds")
            for id in wanted:
                each = command.invocations[id]
                if each.status == "Pending":
                    _end(each, "Cancelled", "Cancelled", self._clock.now())
                elif each.status == "InProgress":
                    each.status = each.details = "Cancelling"
        return None

    def list_commands(self, call: Call) -> Answer:
        with self._lock:
            found = [each for each in self._commands.values() if call.get("CommandId") in (None, each.id)]
            return {"Commands": [_described(each) for each in reversed(found)]}

    def list_invocations(self, call: Call) -> Answer:
        with self._lock:
            found = [
                _listed(command, each, bool(call.get("Details")))
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
            return {
                "CommandId": command.id,
                "InstanceId": each.id,
                "Comment": command.said.get("Comment", ""),
                "DocumentName": DOCUMENT,
                "PluginName": call.get("PluginName") or "aws:runShellScript",
                "ResponseCode": each.code,
                "ExecutionStartDateTime": _moment(each.began_at),
                "ExecutionElapsedTime": _elapsed(each),
                "ExecutionEndDateTime": _moment(each.ended_at),
                "Status": each.status,
                "StatusDetails": each.details,
                "StandardOutputContent": each.output[:OUTPUT_CHARACTERS],
                "StandardErrorContent": each.error[:ERROR_CHARACTERS],
            }

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
                    "PingStatus": "Online",
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

    # --- carrying out

    def _carry_out(self, command: Command) -> None:
        """Page "Using targets and rate controls": at most MaxConcurrency at once; once there are more errors than
        MaxErrors, nothing more is sent, and what runs goes on."""
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(min(command.concurrency, 50), thread_name_prefix=f"command {command.id}") as pool:
            for each in command.invocations.values():
                while len(running) >= command.concurrency:
                    _, running = wait(running, return_when=FIRST_COMPLETED)
                with self._lock:
                    if each.status != "Pending":
                        continue
                    if _errors(command) > command.errors or self._stopped.is_set():
                        _end(each, "Cancelled", "Terminated", self._clock.now())
                        continue
                    each.status = each.details = "InProgress"
                    each.began_at = self._clock.now()
                running.add(pool.submit(self._run, command, each))

    def _run(self, command: Command, invocation: Invocation) -> None:
        machine = self._hypervisor.machine(invocation.id)
        begun = self._clock.monotonic()
        limit = command.limit_seconds
        if machine is None:
            self._finish(invocation, "TimedOut", "DeliveryTimedOut", -1)
            return
        place = machine.directory / "commands" / command.id
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        script, output, error = place / "_script.sh", place / "stdout", place / "stderr"
        script.write_text(command.script)
        into = f"cd {command.directory!r} && " if command.directory else ""
        job = machine.run(("/bin/sh", "-c", f"{into}exec /bin/sh {script}"), output, error)
        until = begun + limit * _pace(self._clock)
        while not job.ended.wait(LOOK_SECONDS):
            late = self._clock.monotonic() > until
            if late or self._stopped.is_set() or invocation.status == "Cancelling":
                machine.kill(job)
                job.ended.wait(LOOK_SECONDS)
                self._collect(invocation, output, error)
                word = "TimedOut" if late else "Cancelled"
                self._finish(invocation, word, "ExecutionTimedOut" if late else word, 137)
                return
        while job.status == -1 and self._clock.monotonic() < begun + limit and not self._stopped.wait(LOOK_SECONDS):
            pass  # the machine went away: nobody tells AWS, until the time is over
        self._collect(invocation, output, error)
        match job.status:
            case -1:
                self._finish(invocation, "TimedOut", "ExecutionTimedOut", -1)
            case 0:
                self._finish(invocation, "Success", "Success", 0)
            case status:
                self._finish(invocation, "Failed", "Failed", status or -1)

    def _collect(self, invocation: Invocation, output: Any, error: Any) -> None:
        invocation.output = output.read_text(errors="replace") if output.exists() else ""
        invocation.error = error.read_text(errors="replace") if error.exists() else ""
        if invocation.error and not invocation.error.endswith("\n"):
            invocation.error += "\n"

    def _finish(self, invocation: Invocation, status: str, details: str, code: int) -> None:
        if status == "Failed":
            # as the agent of Systems Manager ends the error output of a script that failed
            invocation.error += f"failed to run commands: exit status {code}"
        with self._lock:
            invocation.code = code
            _end(invocation, status, details, self._clock.now())


def _end(invocation: Invocation, status: str, details: str, at: datetime) -> None:
    invocation.status, invocation.details, invocation.ended_at = status, details, at


def _pace(clock: Clock) -> float:
    """A script's own time isn't paced."""
    return float(getattr(clock, "pace", 1.0))


def _errors(command: Command) -> int:
    return sum(each.status in ("Failed", "TimedOut") for each in command.invocations.values())


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


def _overall(command: Command) -> tuple[str, str]:
    """Status and details of all of them together. Page "Understanding command statuses"."""
    states = [each.status for each in command.invocations.values()]
    if not states:
        return "Success", "NoInstancesInTag"
    if any(each in ("Pending", "InProgress", "Cancelling") for each in states):
        begun = any(each != "Pending" for each in states)
        return ("InProgress", "InProgress") if begun else ("Pending", "Pending")
    if command.cancelled:
        return "Cancelled", "Cancelled"
    if _errors(command) > command.errors:
        return "Failed", "RateExceeded" if "Cancelled" in states else "Failed"
    if "TimedOut" in states:
        return "TimedOut", "ExecutionTimedOut"
    return ("Failed", "Failed") if "Failed" in states else ("Success", "Success")


def _described(command: Command) -> dict[str, Any]:
    status, details = _overall(command)
    states = [each.status for each in command.invocations.values()]
    return {
        "CommandId": command.id,
        "DocumentName": DOCUMENT,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.said.get("Comment", ""),
        "ExpiresAfter": command.asked_at + timedelta(seconds=command.said.get("TimeoutSeconds") or DELIVERY_SECONDS),
        "Parameters": command.said.get("Parameters") or {},
        "InstanceIds": command.said.get("InstanceIds") or [],
        "Targets": command.said.get("Targets") or [],
        "RequestedDateTime": command.asked_at,
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": command.said.get("MaxConcurrency", "50"),
        "MaxErrors": command.said.get("MaxErrors", "0"),
        "TargetCount": len(states),
        "CompletedCount": sum(each not in ("Pending", "InProgress", "Cancelling") for each in states),
        "ErrorCount": sum(each == "Failed" for each in states),
        "DeliveryTimedOutCount": sum(each.details == "DeliveryTimedOut" for each in command.invocations.values()),
    }


def _listed(command: Command, invocation: Invocation, details: bool) -> dict[str, Any]:
    plugin = {
        "Name": "aws:runShellScript",
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "ResponseCode": invocation.code,
        "ResponseStartDateTime": invocation.began_at,
        "ResponseFinishDateTime": invocation.ended_at,
        "Output": (invocation.output + (f"\n----------ERROR-------\n{invocation.error}" if invocation.error else ""))[
            :LISTED_CHARACTERS
        ],
    }
    return {
        "CommandId": command.id,
        "InstanceId": invocation.id,
        "Comment": command.said.get("Comment", ""),
        "DocumentName": DOCUMENT,
        "RequestedDateTime": invocation.asked_at,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "CommandPlugins": [plugin] if details else [],
    }


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else ""


def _elapsed(invocation: Invocation) -> str:
    if invocation.began_at is None or invocation.ended_at is None:
        return ""
    return f"PT{(invocation.ended_at - invocation.began_at).total_seconds():.3f}S"
