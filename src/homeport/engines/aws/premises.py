"""What must hold of an account and its region before anything is made there; looked at, nothing is changed. Called by
wiring.
"""

from collections.abc import Callable, Sequence
from typing import Any

from homeport.engines.aws.error import of_service, translated
from homeport.errors import Conflict, Invalid
from homeport.model.platform import Aws, Place
from homeport.plan.mistake import instead

SERVICES = {
    "autoscaling": "Auto Scaling",
    "cloudformation": "CloudFormation",
    "ec2": "EC2",
    "elbv2": "Elastic Load Balancing",
    "s3": "S3",
    "ssm": "Systems Manager",
}
"""All that an environment stands on, in botocore's words and in AWS's."""
Client = Callable[[str], Any]


def check_region(place: Place, aws: Aws) -> None:
    """Nothing, where botocore knows the region with all services; nobody is asked. Raises `Invalid`."""
    import botocore
    from botocore.exceptions import UnknownRegionError

    from homeport.engines.aws.cloud import session

    with translated(f"the region {aws.region}"):
        known = session()  # which reads the profile that is meant, if there is one
        try:
            partition = known.get_partition_for_region(aws.region)
        except UnknownRegionError:
            partition = "aws"
        offered = {name: known.get_available_regions(name, partition) for name in SERVICES}
    if aws.region not in offered["ec2"]:
        raise Invalid(
            f"{place.id}: botocore {botocore.__version__} knows no region {aws.region}"
            f"{instead(aws.region, offered['ec2'])}",
            hint=f"[environments.{place.name}] region = …; pip install --upgrade boto3, where it is a new one",
        )
    lacking = [SERVICES[name] for name, regions in offered.items() if aws.region not in regions]
    if lacking:
        raise Invalid(
            f"{place.id}: region {aws.region} has no {', '.join(lacking)}",
            hint=f"[environments.{place.name}] region = …",
        )


def check_instance_type(client: Client, place: Place, aws: Aws) -> None:
    """Nothing, where the region offers it. Raises `Invalid`, `Unavailable`."""
    with translated(f"the instance type {aws.instance_type}"):
        answer = client("ec2").describe_instance_type_offerings(
            LocationType="region", Filters=[{"Name": "instance-type", "Values": [aws.instance_type]}]
        )
    if not answer["InstanceTypeOfferings"]:
        raise Invalid(
            f"{place.id}: {aws.instance_type} isn't offered in {aws.region}",
            hint=f"[environments.{place.name}] instance_type = …",
        )


def check_image(client: Client, place: Place, aws: Aws) -> None:
    """Nothing, where the file's parameter names one that is there. Raises `Invalid`, `Unavailable`."""
    with translated(f"the machine image {aws.image}"):
        named = [each["Value"] for each in client("ssm").get_parameters(Names=[aws.image])["Parameters"]]
        asked = [{"Name": "image-id", "Values": named}]
        found = client("ec2").describe_images(Filters=asked)["Images"] if named else []
    if not found:
        got = f"names {named[0]}, which isn't there" if named else "isn't there"
        raise Invalid(
            f"{place.id} has no machine image: in {aws.region} the parameter {aws.image} {got}",
            hint=f"make image REGION={aws.region}   # in a clone of Homeport",
        )


def check_bucket(client: Client, bucket: str, *, account: str, stack: str) -> None:
    """Nothing, where the name is free. Raises `Conflict` where somebody else has it, or the account itself without the
    stack that it should belong to; `Unavailable`."""
    from botocore.exceptions import ClientError

    with translated(f"the bucket {bucket}"):
        try:
            client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        except ClientError as error:
            # a HEAD has no body: the status is all there is
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status == 404:
                return
            if status in (301, 403):
                raise Conflict(
                    f"the bucket {bucket} is somebody else's, or these credentials may not look at it",
                    hint="names of buckets are unique in the world: choose another one for the platform",
                ) from error
            raise of_service(f"the bucket {bucket}", error) from error
    raise Conflict(
        f"the bucket {bucket} is there, without the stack {stack} that it should belong to",
        hint="import it into that stack, or, if it isn't needed, delete it; then again: homeport up",
    )


def check_addresses(client: Client, place: Place, ids: Sequence[str]) -> None:
    """Nothing, where all of these Elastic IP addresses are the account's, in the region. Raises `Invalid`,
    `Unavailable`."""
    with translated("Elastic IP addresses"):
        wanted = [{"Name": "allocation-id", "Values": list(ids)}]
        found = {each["AllocationId"] for each in client("ec2").describe_addresses(Filters=wanted)["Addresses"]}
    missing = [each for each in ids if each not in found]
    if missing:
        raise Invalid(
            f"{place.id}: there is no Elastic IP address {', '.join(missing)} in this account and region",
            hint="aws ec2 describe-addresses; a new one: aws ec2 allocate-address",
        )


def check_network(client: Client, place: Place, vpc: str, subnets: Sequence[str]) -> None:
    """Nothing, where these subnets are that network's, in two zones at least. Raises `Invalid`, `Unavailable`."""
    with translated(f"the network {vpc}"):
        wanted = [{"Name": "subnet-id", "Values": list(subnets)}]
        seen = {each["SubnetId"]: each for each in client("ec2").describe_subnets(Filters=wanted)["Subnets"]}
    hint = f"[environments.{place.name}] subnets = …; aws ec2 describe-subnets --filters Name=vpc-id,Values={vpc}"
    missing = [each for each in subnets if each not in seen]
    if missing:
        raise Invalid(f"{place.id}: there is no {', '.join(missing)} in this account and region", hint=hint)
    other = {id_: each["VpcId"] for id_, each in seen.items() if each["VpcId"] != vpc}
    if other:
        where = ", ".join(f"{id_} is in {its}" for id_, its in sorted(other.items()))
        raise Invalid(f"{place.id}: {where}, expected {vpc}", hint=hint)
    zones = {each["AvailabilityZone"] for each in seen.values()}
    if len(zones) < 2:
        raise Invalid(
            f"{place.id}: all subnets are in {', '.join(zones)}, and a load balancer wants two zones", hint=hint
        )


def check_zone(client: Client, place: Place, zone: str, zone_id: str | None) -> None:
    """Nothing, where there is one public hosted zone of that name, or the one of that id. Raises `Invalid`,
    `Unavailable`."""
    with translated(f"the hosted zone {zone}"):
        listed = client("route53").list_hosted_zones_by_name(DNSName=zone)["HostedZones"]
    same = [each for each in listed if each["Name"].rstrip(".") == zone]
    ids = [each["Id"].rpartition("/")[2] for each in same if not each["Config"].get("PrivateZone")]
    if not ids:
        raise Invalid(
            f"{place.id}: this account has no public hosted zone {zone}", hint=f"[environments.{place.name}] zone = …"
        )
    if zone_id is None and len(same) > 1:
        raise Invalid(
            f"{place.id}: this account has several hosted zones {zone}",
            hint=f'[environments.{place.name}] zone_id = "{ids[0]}"',
        )
    if zone_id is not None and zone_id not in ids:
        raise Invalid(f"{place.id}: no public hosted zone {zone} has the id {zone_id}; there is {', '.join(ids)}")
