"""What the simulated Systems Manager knows of commands, and how it tells that. Used by `command`, `command_run`.

Sentences in quotation marks are AWS's: Systems Manager API Reference; pages named are of its User Guide.
"""

from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, field

DOCUMENT = "AWS-RunShellScript"
OUTPUT_CHARACTERS, ERROR_CHARACTERS, LISTED_CHARACTERS = 24_000, 8_000, 2_500
"""GetCommandInvocation: "The first 24,000 characters written by the plugin to stdout", 8,000 to stderr."""
DELIVERY_SECONDS = 3600


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


def end(invocation: Invocation, status: str, details: str, at: datetime) -> None:
    invocation.status, invocation.details, invocation.ended_at = status, details, at


def errors(command: Command) -> int:
    """CommandInvocation: "Delivery timeouts don't count against the parent command's MaxErrors limit"."""
    ended = (each for each in command.invocations.values() if each.details != "DeliveryTimedOut")
    return sum(each.status in ("Failed", "TimedOut") for each in ended)


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
    if errors(command) > command.errors:
        return "Failed", "RateExceeded" if "Cancelled" in states else "Failed"
    if "TimedOut" in states:
        return "TimedOut", "ExecutionTimedOut"
    return ("Failed", "Failed") if "Failed" in states else ("Success", "Success")


def described(command: Command) -> dict[str, Any]:
    """As ListCommands does."""
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


def listed(command: Command, invocation: Invocation, details: bool) -> dict[str, Any]:
    """As ListCommandInvocations does."""
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


def shown(command: Command, each: Invocation, plugin: str) -> dict[str, Any]:
    """As GetCommandInvocation does."""
    return {
        "CommandId": command.id,
        "InstanceId": each.id,
        "Comment": command.said.get("Comment", ""),
        "DocumentName": DOCUMENT,
        "PluginName": plugin or "aws:runShellScript",
        "ResponseCode": each.code,
        "ExecutionStartDateTime": _moment(each.began_at),
        "ExecutionElapsedTime": _elapsed(each),
        "ExecutionEndDateTime": _moment(each.ended_at),
        "Status": each.status,
        "StatusDetails": each.details,
        "StandardOutputContent": each.output[:OUTPUT_CHARACTERS],
        "StandardErrorContent": each.error[:ERROR_CHARACTERS],
    }


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else ""


def _elapsed(invocation: Invocation) -> str:
    if invocation.began_at is None or invocation.ended_at is None:
        return ""
    return f"PT{(invocation.ended_at - invocation.began_at).total_seconds():.3f}S"
