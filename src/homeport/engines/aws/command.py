"""Commands on instances, by Systems Manager's Run Command. Used by `engine`."""

import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from homeport.engines.aws.error import translated
from homeport.engines.aws.many import refused
from homeport.plan.aws_right import DOCUMENT
from homeport.system.effect import effect

DELIVERY_SECONDS = 60
ALL = "100%"
"""All of a command's instances at once, and whatever becomes of it on one of them, the others get it: "MaxErrors: The
maximum number of errors allowed without the command failing", 0 by default."""
UNDER_WAY = ("Pending", "InProgress", "Delayed", "Cancelling")
_FAILED = re.compile(r"failed to run commands: exit status \d+\n?\Z")
_BETWEEN = re.compile(r"\n?-{10,}ERROR-{7,}\n")
"""What Systems Manager's agent adds to what a script wrote: an end that the status says too, and, where both are in one
text, a line between output and errors."""
UNHEARD = {
    "deliverytimedout": f"Systems Manager couldn't deliver the command within {DELIVERY_SECONDS} s",
    "undeliverable": "Systems Manager can't deliver the command: the instance isn't there for it, or doesn't answer",
    "invalidplatform": "Systems Manager takes the instance for one of another platform",
    "terminated": "Systems Manager ended the command before it was sent to the instance",
    "cancelled": "the command was cancelled",
    "accessdenied": "Systems Manager was denied access to the instance",
}
"""Details of a status by which nothing says that the instance heard of the command (page "Understanding command
statuses")."""


class Result(Struct, frozen=True, kw_only=True):
    """How a command ended on one instance. `ended` False: it goes on, and nothing else is known."""

    ended: bool
    ok: bool = False
    status: str = ""
    code: int = -1
    """Exit code of the script; -1: it has none."""
    output: str = ""
    errors: str = ""

    @property
    def unheard(self) -> str:
        """Why the instance never heard of it, in words; empty: it did."""
        return UNHEARD.get("".join(self.status.split()).lower(), "")


class Commands:
    def __init__(self, client: Callable[[str], Any]) -> None:
        self._client = client

    @effect("aws.send_command")
    def send(self, instances: Sequence[str], argv: Sequence[str], *, seconds: int, why: str) -> str:
        """Its id; `argv` runs on all of these instances. `seconds`: how long it may run on each."""
        with translated(f"a command for {', '.join(instances)}"):
            answer = self._client("ssm").send_command(
                DocumentName=DOCUMENT,
                InstanceIds=list(instances),
                Parameters={"commands": [shlex.join(argv)], "executionTimeout": [str(seconds)]},
                TimeoutSeconds=DELIVERY_SECONDS,
                MaxConcurrency=ALL,
                MaxErrors=ALL,
                Comment=why[:100],
            )
        return str(answer["Command"]["CommandId"])

    def reach(
        self, instances: Sequence[str], argv: Sequence[str], *, seconds: int, why: str
    ) -> tuple[dict[str, str], tuple[str, ...]]:
        """Instance → id of its command, and those that Systems Manager doesn't know (yet, or any more)."""
        sent: dict[str, str] = {}

        def send(chosen: Sequence[str]) -> None:
            sent.update(dict.fromkeys(chosen, self.send(chosen, argv, seconds=seconds, why=why)))

        unknown = tuple(each for each, _ in refused(instances, send))
        return sent, unknown

    @effect("aws.cancel_command")
    def cancel(self, command: str, instance: str) -> None:
        """What hasn't come there yet won't. "There is no guarantee that the command will be terminated"."""
        with translated(f"the command {command} on {instance}"):
            self._client("ssm").cancel_command(CommandId=command, InstanceIds=[instance])

    def looked_at(self, command: str) -> dict[str, bool | None]:
        """Instance → whether it went well, None while it goes on, of those that Systems Manager shows: one call for 50
        of them."""
        return {
            each["InstanceId"]: None if each["Status"] in UNDER_WAY else each["Status"] == "Success"
            for each in self._invocations(command)
        }

    def outputs(self, command: str) -> dict[str, str]:
        """Instance → what it wrote, the first 2,500 characters: one call for 50 of them."""
        return {
            each["InstanceId"]: "".join(_own(plugin.get("Output", "")) for plugin in each.get("CommandPlugins", ()))
            for each in self._invocations(command, Details=True)
        }

    def _invocations(self, command: str, **more: bool) -> list[dict[str, Any]]:
        with translated(f"the command {command}"):
            pages = self._client("ssm").get_paginator("list_command_invocations").paginate(CommandId=command, **more)
            return [each for page in pages for each in page["CommandInvocations"]]

    def result(self, command: str, instance: str) -> Result:
        """One that Systems Manager doesn't show yet goes on."""
        from botocore.exceptions import ClientError

        with translated(f"the command {command} on {instance}"):
            try:
                said = self._client("ssm").get_command_invocation(CommandId=command, InstanceId=instance)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "InvocationDoesNotExist":
                    return Result(ended=False)
                raise
        status = str(said["Status"])
        if status in UNDER_WAY:
            return Result(ended=False, status=status)
        return Result(
            ended=True,
            ok=status == "Success",
            status=str(said.get("StatusDetails") or status),
            code=int(said.get("ResponseCode", -1)),
            output=str(said.get("StandardOutputContent", "")),
            errors=_own(str(said.get("StandardErrorContent", ""))),
        )


def _own(text: str) -> str:
    """What the script wrote itself."""
    return _BETWEEN.sub("\n", _FAILED.sub("", text))
