"""Commands on instances, by Systems Manager's Run Command. Used by `engine`."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from homeport.engines.aws.error import translated
from homeport.system.effect import effect

DOCUMENT = "AWS-RunShellScript"
AT_ONCE = 50
"""Instances of one call: "InstanceIds … Maximum number of 50 items" (Systems Manager API, SendCommand)."""
DELIVERY_SECONDS = 60
UNDER_WAY = ("Pending", "InProgress", "Delayed", "Cancelling")


class Result(Struct, frozen=True, kw_only=True):
    """How a command ended on one instance. `ended` False: it goes on, and nothing else is known."""

    ended: bool
    ok: bool = False
    status: str = ""
    code: int = -1
    """Exit code of the script; -1: it has none."""
    output: str = ""
    errors: str = ""


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
                Comment=why[:100],
            )
        return str(answer["Command"]["CommandId"])

    def ended(self, command: str) -> dict[str, bool]:
        """Instance → whether it went well, of those on which it has ended: one call for 50 of them."""
        with translated(f"the command {command}"):
            pages = self._client("ssm").get_paginator("list_command_invocations").paginate(CommandId=command)
            found = [each for page in pages for each in page["CommandInvocations"]]
        return {each["InstanceId"]: each["Status"] == "Success" for each in found if each["Status"] not in UNDER_WAY}

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
            errors=str(said.get("StandardErrorContent", "")),
        )
