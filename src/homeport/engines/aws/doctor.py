"""What an environment on AWS stands on, looked at part by part: changes nothing there. Called by `homeport doctor`
through wiring; what it means says `plan.aws_doctor`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from homeport import __version__
from homeport.engines.aws import premises
from homeport.engines.aws.command import Commands
from homeport.engines.aws.error import translated
from homeport.engines.aws.fleet import Client, Fleet, Pool
from homeport.errors import HomeportError, NotAllowed, NotFound
from homeport.model.check import Check
from homeport.model.platform import Place
from homeport.model.stack import Deployed
from homeport.plan import aws_doctor, aws_right, aws_stacks
from homeport.ports.clock import Clock
from homeport.system.clock import pause

VERSION = ("homeport-agent", "--version")
VERSION_SECONDS, ANSWER_SECONDS, LOOK_SECONDS = 10, 30.0, 0.5
ALLOWED = "allowed"
CONFIGURATION: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], bool]]] = {
    "versioned": ("get_bucket_versioning", lambda said: said.get("Status") == "Enabled"),
    "encrypted": ("get_bucket_encryption", lambda said: bool(said["ServerSideEncryptionConfiguration"]["Rules"])),
    "closed to the public": (
        "get_public_access_block",
        lambda said: all(said["PublicAccessBlockConfiguration"].values()),
    ),
}
"""What the shipped bucket is → how S3 is asked, and what it answers then."""
NOTHING_SAID = ("ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration")
"""S3's codes for what was never configured, or taken away."""


class Standing(Struct, frozen=True, kw_only=True):
    """The environment's stacks that are there, by their ids, and in what they aren't as they were applied."""

    stacks: Mapping[str, Deployed]
    by_hand: Mapping[str, Sequence[str]]


def examine(place: Place, *, client: Client, clock: Clock, standing: Callable[[], Standing]) -> list[Check]:
    """Every check, also after one that failed; but nothing can be asked with credentials that are none."""
    try:
        arn, first = _credentials(place, client, clock)
    except HomeportError as error:
        return [_failed("credentials", error)]
    checks = list(first)
    if not checks[0].ok:
        return checks
    pools: list[Pool] = []
    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("region", lambda: _region(place, client)),
        ("rights", lambda: _rights(place, client, arn)),
        ("bucket", lambda: _bucket(place, client)),
        ("machine image", lambda: _image(place, client)),
        ("stacks", lambda: _stacks(place, standing())),
        ("launch templates", lambda: _templates(place, client, pools)),
        ("agents", lambda: _agents(client, pools, clock)),
    )
    for name, part in parts:
        try:
            checks += part()
        except HomeportError as error:
            checks.append(_failed(name, error))
    return [replace(each, mend="") if each.ok else each for each in checks]


def _failed(name: str, error: HomeportError) -> Check:
    found = "; ".join((error.message, *error.details))
    return Check(
        name=name, ok=False, found=found, expected="that it can be looked at, and is there", mend=error.hint or ""
    )


def _credentials(place: Place, client: Client, clock: Clock) -> tuple[str, list[Check]]:
    with translated("asking whose credentials these are"):
        said = client("sts").get_caller_identity()
    arn, account = str(said["Arn"]), str(said["Account"])
    checks = [aws_doctor.credentials(place, account, arn, aws_stacks.of(place).account)]
    date = said["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    if date:
        skew = clock.now() - parsedate_to_datetime(date)
        checks.append(aws_doctor.clock(timedelta(seconds=round(skew.total_seconds()))))
    return arn, checks


def _region(place: Place, client: Client) -> Iterator[Check]:
    aws = aws_stacks.of(place)
    premises.check_region(place, aws)
    premises.check_instance_type(client, place, aws)
    yield Check(
        name="region",
        ok=True,
        found=f"{aws.region} answers, and has {aws.instance_type}",
        expected="that it is enabled, with all services and the instance type",
    )


def _rights(place: Place, client: Client, arn: str) -> Iterator[Check]:
    """ "The Action API … simulates … the set of IAM policies attached to an IAM entity": for a role that was taken on
    it wants that role. The account itself has none, and may everything."""
    if arn.endswith(":root"):
        yield aws_doctor.rights(())
        return
    missing: list[str] = []
    try:
        for each in aws_right.of_deploy(place):
            missing += _missing(client, _principal(client, arn), each)
    except HomeportError as error:
        yield replace(_failed("rights", error), needed=False, expected="that IAM tells what these credentials may")
        return
    yield aws_doctor.rights(missing)


def _principal(client: Client, arn: str) -> str:
    """`arn:aws:sts::1:assumed-role/name/session` is of `arn:aws:iam::1:role/name`, whose path only IAM knows."""
    start, found, rest = arn.partition(":assumed-role/")
    if not found:
        return arn
    name = rest.split("/")[0]
    try:
        with translated(f"the role {name}"):
            return str(client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except HomeportError:
        return f"{start.replace(':sts:', ':iam:')}:role/{name}"


def _missing(client: Client, principal: str, right: aws_right.Right) -> Iterator[str]:
    tags = [
        {"ContextKeyName": f"aws:ResourceTag/{key}", "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in right.tags.items()
    ]
    with translated(f"what {principal} may"):
        pages = (
            client("iam")
            .get_paginator("simulate_principal_policy")
            .paginate(
                PolicySourceArn=principal,
                ActionNames=list(right.actions),
                ResourceArns=list(right.resources),
                ContextEntries=tags,
            )
        )
        results = [each for page in pages for each in page["EvaluationResults"]]
    for each in results:
        if each["EvalDecision"] != ALLOWED:
            yield f"{each['EvalActionName']} on {each.get('EvalResourceName', '*')} ({right.what})"


def _bucket(place: Place, client: Client) -> Iterator[Check]:
    name, account = aws_stacks.bucket(place), aws_stacks.of(place).account
    lacks: list[str] = []
    try:
        with translated(f"the bucket {name}"):
            client("s3").head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except NotFound:
        yield aws_doctor.bucket(place, name, None)
        return
    for what in CONFIGURATION:
        try:
            lacks += [] if _configured(client, name, account, what) else [f"not {what}"]
        except HomeportError as error:
            lacks.append(error.message)
    yield aws_doctor.bucket(place, name, lacks)


def _configured(client: Client, bucket: str, account: str, what: str) -> bool:
    from botocore.exceptions import ClientError

    operation, well = CONFIGURATION[what]
    with translated(f"whether {bucket} is {what}"):
        try:
            return well(getattr(client("s3"), operation)(Bucket=bucket, ExpectedBucketOwner=account))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in NOTHING_SAID:
                return False
            raise


def _image(place: Place, client: Client) -> Iterator[Check]:
    aws = aws_stacks.of(place)
    premises.check_image(client, place, aws)
    yield Check(name="machine image", ok=True, found=f"the parameter {aws.image} names one that is there",
                expected="one to launch instances from")  # fmt: skip


def _stacks(place: Place, found: Standing) -> Iterator[Check]:
    needed = {"access", "edge"} | ({"network"} if aws_stacks.of(place).vpc is None else set())
    lacking = needed - found.stacks.keys() if found.stacks else set()
    yield from aws_doctor.stacks(place, found.stacks, found.by_hand, lacking)


def _templates(place: Place, client: Client, pools: list[Pool]) -> Iterator[Check]:
    """Fills `pools`, for who comes after."""
    pools += Fleet(client, place).look()
    images: dict[str, str] = {}
    lost: list[str] = []
    for each in pools:
        try:
            images[each.name] = _image_of(client, each)
        except NotAllowed:
            raise
        except HomeportError as error:
            lost.append(error.message)
    there: set[str] = set()
    if images:
        with translated("the machine images of launch templates"):
            filters = [{"Name": "image-id", "Values": sorted(set(images.values()))}]
            there = {each["ImageId"] for each in client("ec2").describe_images(Filters=filters)["Images"]}
    gone = [f"{image} of {pool} is gone" for pool, image in images.items() if image not in there]
    if pools:
        yield aws_doctor.templates(place, [each.name for each in pools], lost, gone)


def _image_of(client: Client, pool: Pool) -> str:
    id_, version = pool.template
    with translated(f"the launch template of {pool.name}"):
        found = client("ec2").describe_launch_template_versions(LaunchTemplateId=id_, Versions=[version])
    return str(found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def _agents(client: Client, pools: Sequence[Pool], clock: Clock) -> Iterator[Check]:
    """By the very way by which they are told to deploy."""
    there = [each.id for pool in pools for each in pool.members if each.lifecycle == "InService"]
    if not there:
        return
    commands = Commands(client)
    sent, _ = commands.reach(there, VERSION, seconds=VERSION_SECONDS, why="homeport doctor")
    asked, until = sorted(set(sent.values())), clock.monotonic() + ANSWER_SECONDS
    while any(_goes_on(commands, each, sent) for each in asked) and clock.monotonic() < until:
        pause(LOOK_SECONDS)
    versions = dict.fromkeys(there, "")
    for each in asked:
        versions |= {id_: said.strip().rpartition(" ")[2] for id_, said in commands.outputs(each).items()}
    yield aws_doctor.agents(versions, __version__)


def _goes_on(commands: Commands, command: str, sent: Mapping[str, str]) -> bool:
    seen: dict[str, Any] = dict(commands.looked_at(command))
    return any(seen.get(id_) is None for id_, each in sent.items() if each == command)
