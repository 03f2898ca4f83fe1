"""What a call of the simulated CloudFormation asks a stack to become: template, parameters, tags; looked at before
anything begins. Called by `stack_register`.

Sentences in quotation marks are AWS's: CloudFormation API Reference (API).
"""

from collections.abc import Callable
from typing import Any

from homeport.errors import HomeportError
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.parameter import declared
from homeport.plan.stack.template import parse
from homeport.simulation.aws.service import Call, Refused
from homeport.simulation.aws.stack_model import Contents, Stack

LARGEST_INLINE_BYTES = 51_200
Client = Callable[[str, str, str], Any]
"""From service, region and access key (empty: one that may everything) to boto3's client of the simulated AWS."""


def contents(call: Call, old: Stack | None, client: Client, *, check: bool = True) -> Contents:
    """What is asked for. Raises `Refused` as CloudFormation does before it begins."""
    before = old.contents if old else Contents()
    text = before.text if call.get("UsePreviousTemplate") else _text(call, client)
    try:
        body = parse(text, "Template format error").body
    except HomeportError as error:
        raise Refused("ValidationError", error.message) from error
    given = {}
    for each in call.get("Parameters") or ():
        name = each["ParameterKey"]
        kept = each.get("UsePreviousValue")
        given[name] = before.parameters.get(name, "") if kept else each.get("ParameterValue", "")
    found = Contents(
        text=text,
        body=body,
        parameters=given,
        tags={each["Key"]: each["Value"] for each in call.get("Tags") or ()},
        capabilities=tuple(call.names("Capabilities")),
        role=call.get("RoleARN", before.role),
        notifications=tuple(call.names("NotificationARNs")),
    )
    if check:
        _check_parameters(found)
        _look_up(found, call.region, client)
    return found


def _text(call: Call, client: Client) -> str:
    text = call.get("TemplateBody")
    if text is not None:
        if len(text.encode()) > LARGEST_INLINE_BYTES:
            # API, TemplateBody: "The minimum length is 1 byte, and the maximum length is 51,200 bytes."
            raise Refused(
                "ValidationError",
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
                "Member must have length less than or equal to 51200",
            )
        return str(text)
    host, _, key = str(call.get("TemplateURL", "")).removeprefix("https://").partition("/")
    bucket = host.partition(".s3.")[0]
    try:
        got = client("s3", call.region, "").get_object(Bucket=bucket, Key=key)
    except Exception as error:
        raise Refused("ValidationError", f"S3 error: {error}") from error
    return str(got["Body"].read().decode())


def _look_up(contents: Contents, region: str, client: Client) -> None:
    """Parameters of SSM types get the values that they name."""
    for name, each in declared(contents.body).items():
        if each.looked_up:
            wanted = contents.parameters.get(name, each.default or "")
            try:
                got = client("ssm", region, "").get_parameter(Name=wanted, WithDecryption=True)
            except Exception as error:
                raise Refused(
                    "ValidationError",
                    f"Unable to fetch parameters [{wanted}] from parameter store for this account.",
                ) from error
            contents.looked_up[name] = got["Parameter"]["Value"]


def _check_parameters(contents: Contents) -> None:
    known = declared(contents.body)
    if extra := sorted(contents.parameters.keys() - known.keys()):
        raise Refused("ValidationError", f"Parameters: [{', '.join(extra)}] do not exist in the template")
    missing = [name for name, each in known.items() if each.default is None and name not in contents.parameters]
    if missing:
        raise Refused("ValidationError", f"Parameters: [{', '.join(missing)}] must have values")
    named = "CAPABILITY_NAMED_IAM" in contents.capabilities
    lacking = [
        each
        for each in capabilities(contents.body)
        if each not in contents.capabilities and not (named and each == "CAPABILITY_IAM")
    ]
    if lacking:
        # API: "If you don't specify either of these capabilities, CloudFormation returns an InsufficientCapabilities
        # error."
        raise Refused("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(lacking)}]")
