"""What a call wants to be allowed: actions, the resources that they are on, and what conditions ask of them. As the
Service Authorization Reference lists it; sentences in quotation marks are AWS's. Called by `rights`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.exceptions import ClientError
from msgspec import Struct

from homeport.simulation.aws.rights_name import of_address

PREFIXES = {"elbv2": "elasticloadbalancing"}
"""botocore's name of a service → IAM's, where they differ."""
FREE = ("sts:GetCallerIdentity",)
""" "No permissions are required to perform this operation" (AWS STS API)."""
KINDS = {
    "ami": "image", "eipalloc": "elastic-ip", "eni": "network-interface", "i": "instance", "igw": "internet-gateway",
    "lt": "launch-template", "rtb": "route-table", "sg": "security-group", "subnet": "subnet", "vol": "volume",
    "vpc": "vpc",
}  # fmt: skip
"""How EC2's ids begin, and what they are of."""
MAKES = {
    "CreateInternetGateway": ("internet-gateway",),
    "CreateLaunchTemplate": ("launch-template",),
    "CreateRouteTable": ("route-table",),
    "CreateSecurityGroup": ("security-group",),
    "CreateSubnet": ("subnet",),
    "CreateVpc": ("vpc",),
    "RunInstances": ("instance", "network-interface", "volume"),
}
"""Operation of EC2 → what there is afterwards. A call is held against that, too."""
ON = (
    "GroupId", "InstanceId", "InstanceIds", "InternetGatewayId", "LaunchTemplateId", "RouteTableId", "SubnetId",
    "VpcId",
)  # fmt: skip
"""Parameters of EC2 that name what a call is on."""
MAKES_BALANCING = {
    "CreateLoadBalancer": "loadbalancer/app",
    "CreateTargetGroup": "targetgroup",
    "CreateListener": "listener/app",
    "CreateRule": "listener-rule/app",
}
BUCKETS = {
    "encryption": "PutEncryptionConfiguration",
    "lifecycle": "PutLifecycleConfiguration",
    "ownershipControls": "PutBucketOwnershipControls",
    "policy": "PutBucketPolicy",
    "publicAccessBlock": "PutBucketPublicAccessBlock",
    "tagging": "PutBucketTagging",
    "versioning": "PutBucketVersioning",
}
"""What of a bucket is set → the action."""
Context = dict[str, list[str]]


class Wish(Struct, frozen=True):
    """`context` are the keys of conditions."""

    action: str
    resource: str
    context: Context = {}

    @property
    def words(self) -> str:
        with_ = ", ".join(f"{key}={' '.join(values)}" for key, values in self.context.items())
        return f"{self.action} on {self.resource}" + (f" with {with_}" if with_ else "")


class Wishes:
    """Of calls in one region. `client`: one that may everything; `instances`: as EC2 describes them, by id."""

    def __init__(
        self,
        client: Callable[[str], Any],
        instances: Callable[[], Mapping[str, Mapping[str, Any]]],
        *,
        account: str,
        region: str,
    ) -> None:
        self._client = client
        self._instances = instances
        self._account = account
        self._region = region

    def of(self, service: str, operation: str, asked: Mapping[str, Any]) -> list[Wish]:
        """Of a call other than S3's. An action without resource types wants `*`."""
        action = f"{PREFIXES.get(service, service)}:{operation}"
        if action in FREE:
            return []
        found: list[Wish] = []
        match service:
            case "ec2" if operation in ("AssociateAddress", "DisassociateAddress"):
                addresses = self._client("ec2").describe_addresses()["Addresses"]
                place = f"arn:aws:ec2:{self._region}:{self._account}"
                found = [Wish(*each) for each in of_address(operation, asked, addresses, self._instances(), place)]
            case "ec2":
                found = list(self._ec2(action, operation, asked))
            case "elbv2" if not operation.startswith("Describe"):
                found = list(self._balancing(action, operation, asked))
            case "autoscaling" if not operation.startswith("Describe"):
                found = list(self._scaling(action, asked))
            case "iam":
                found = list(self._iam(action, operation, asked))
            case "ssm":
                found = list(self._ssm(action, operation, asked))
            case "cloudformation":
                name = str(asked.get("StackName") or asked.get("ChangeSetName") or "")
                place = f"arn:aws:cloudformation:{self._region}:{self._account}:stack/{name}/*"
                found = [Wish(action, name if name.startswith("arn:") else place)] if name else []
        return found or [Wish(action, "*")]

    # --- EC2

    def _ec2(self, action: str, operation: str, asked: Mapping[str, Any]) -> Iterator[Wish]:
        if operation in ("CreateTags", "DeleteTags"):
            keys = [each["Key"] for each in asked.get("Tags") or ()]
            for id in asked.get("Resources") or ():
                yield Wish(action, self._arn(id), {"aws:TagKeys": keys, **_requested(asked), **self._tags(id)})
            return
        if operation.startswith("Describe"):
            return
        launched = asked.get("LaunchTemplate") or {}
        if operation == "RunInstances" and launched.get("LaunchTemplateId"):
            yield from self._launch(action, launched, asked)
            return
        yield from self._made(action, operation, asked, {})
        for id in _ids(asked) + self._associated(asked.get("AssociationId", "")):
            yield Wish(action, self._arn(id), self._tags(id))

    def _associated(self, id: str) -> list[str]:
        """Route table and subnet of an association between them."""
        filters = [{"Name": "association.route-table-association-id", "Values": [id]}]
        found = self._client("ec2").describe_route_tables(Filters=filters)["RouteTables"] if id else []
        return [said[name] for table in found for said in table["Associations"] if said["RouteTableAssociationId"] == id
                for name in ("RouteTableId", "SubnetId")]  # fmt: skip

    def _made(self, action: str, operation: str, asked: Mapping[str, Any], context: Context) -> Iterator[Wish]:
        """ "To tag resources on creation … also ec2:CreateTags" (EC2 User Guide): its action is a key of conditions."""
        said = {each["ResourceType"]: each for each in asked.get("TagSpecifications") or ()}
        for kind in MAKES.get(operation, ()):
            tags = _requested(said.get(kind, {}))
            yield Wish(action, self._place("ec2", f"{kind}/*"), {**context, **tags})
            if tags:
                yield Wish("ec2:CreateTags", self._place("ec2", f"{kind}/*"), {"ec2:CreateAction": [operation], **tags})

    def _launch(self, action: str, launched: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[Wish]:
        """RunInstances of a template: everything that an instance is made of, and the role that it gets."""
        id, version = str(launched["LaunchTemplateId"]), str(launched.get("Version", "$Default"))
        seen = self._client("ec2").describe_launch_template_versions(LaunchTemplateId=id, Versions=[version])
        data = seen["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        context = {"ec2:LaunchTemplate": [self._arn(id)]}
        specified = {"TagSpecifications": [*data.get("TagSpecifications", ()), *(asked.get("TagSpecifications") or ())]}
        yield from self._made(action, "RunInstances", specified, context)
        subnets = asked.get("SubnetId") or asked.get("VPCZoneIdentifier") or ""
        for each in (id, data.get("ImageId"), *data.get("SecurityGroupIds", ()), *subnets.split(",")):
            if each:
                yield Wish(action, self._arn(each), {**context, **self._tags(each)})
        profile = str(data.get("IamInstanceProfile", {}).get("Arn", "")).rpartition("/")[2]
        if profile:
            roles = self._client("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
            yield from (_passed(each["Arn"]) for each in roles)

    def _arn(self, id: str) -> str:
        kind = KINDS.get(id.partition("-")[0], "*")
        owner = "" if kind == "image" else self._account
        return f"arn:aws:ec2:{self._region}:{owner}:{kind}/{id}"

    def _tags(self, id: str) -> Context:
        if id.startswith("i-"):
            return _held(self._instances().get(id, {}).get("Tags", ()))
        filters = [{"Name": "resource-id", "Values": [id]}]
        return _held(self._client("ec2").describe_tags(Filters=filters)["Tags"])

    def _place(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._region}:{self._account}:{resource}"

    # --- other services

    def _balancing(self, action: str, operation: str, asked: Mapping[str, Any]) -> Iterator[Wish]:
        elb, on = self._client("elbv2"), [each for key, each in asked.items() if key.endswith("Arn")]
        on += [*(asked.get("ResourceArns") or ()), *(each["RuleArn"] for each in asked.get("RulePriorities") or ())]
        for arn in on:
            try:
                tags = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
            except ClientError:
                tags = []  # it isn't there: for the service itself to say
            yield Wish(action, arn, _held(tags))
        kind = MAKES_BALANCING.get(operation)
        if kind is None:
            return
        made = self._place("elasticloadbalancing", f"{kind}/{asked.get('Name', '*')}/*")
        if not on:
            yield Wish(action, made, _requested(asked))
        if asked.get("Tags"):
            context = {"elasticloadbalancing:CreateAction": [operation], **_requested(asked)}
            yield Wish("elasticloadbalancing:AddTags", made, context)

    def _scaling(self, action: str, asked: Mapping[str, Any]) -> Iterator[Wish]:
        """ "A user … that creates or updates an Auto Scaling group using a launch template must have permission to use
        the ec2:RunInstances action" (Auto Scaling User Guide, launch template support)."""
        names = {str(asked.get("AutoScalingGroupName") or "")} | {
            str(each.get("ResourceId") or "") for each in asked.get("Tags") or ()
        }
        if asked.get("InstanceId"):
            members = self._client("autoscaling").describe_auto_scaling_instances(InstanceIds=[asked["InstanceId"]])
            names |= {each["AutoScalingGroupName"] for each in members["AutoScalingInstances"]}
        for name in sorted(names - {""}):
            yield Wish(action, self._place("autoscaling", f"autoScalingGroup:0:autoScalingGroupName/{name}"))
        launched = asked.get("LaunchTemplate") or {}
        if launched.get("LaunchTemplateId"):
            subnets = {"VPCZoneIdentifier": asked.get("VPCZoneIdentifier", "")}
            yield from self._launch("ec2:RunInstances", launched, subnets)

    def _iam(self, action: str, operation: str, asked: Mapping[str, Any]) -> Iterator[Wish]:
        """ "The caller of this operation must be granted the PassRole permission on the IAM role" (IAM API,
        AddRoleToInstanceProfile)."""
        path, boundary = asked.get("Path", "/"), asked.get("PermissionsBoundary")
        profile, role = asked.get("InstanceProfileName"), asked.get("RoleName")
        if asked.get("PolicySourceArn"):
            yield Wish(action, str(asked["PolicySourceArn"]))
            return
        held = {"iam:PermissionsBoundary": [boundary]} if boundary else {}
        if profile:
            arn = f"arn:aws:iam::{self._account}:instance-profile{path}{profile}"
            yield Wish(action, self._known("InstanceProfile", profile).get("Arn", arn))
            if role and operation.startswith("Add"):
                yield _passed(self._known("Role", role).get("Arn", ""))
        elif role:
            known = self._known("Role", role)
            if not held and known.get("PermissionsBoundary"):
                held = {"iam:PermissionsBoundary": [known["PermissionsBoundary"]["PermissionsBoundaryArn"]]}
            arn = str(known.get("Arn", f"arn:aws:iam::{self._account}:role{path}{role}"))
            yield Wish(action, arn, {**held, **_requested(asked)})
            if operation == "CreateRole" and asked.get("Tags"):
                yield Wish("iam:TagRole", arn, _requested(asked))

    def _known(self, kind: str, name: str) -> Mapping[str, Any]:
        """What IAM has of that name; empty: nothing yet."""
        iam = self._client("iam")
        ask = iam.get_role if kind == "Role" else iam.get_instance_profile
        try:
            return dict(ask(**{f"{kind}Name": name})[kind])
        except ClientError:
            return {}

    def _ssm(self, action: str, operation: str, asked: Mapping[str, Any]) -> Iterator[Wish]:
        if operation == "SendCommand":
            yield Wish(action, f"arn:aws:ssm:{self._region}::document/{asked.get('DocumentName')}")
            for id in asked.get("InstanceIds") or ():
                yield Wish(action, self._arn(id), self._tags(id))
        elif operation.endswith(("Parameter", "Parameters")):
            for each in [asked["Name"]] if "Name" in asked else asked.get("Names") or ():
                yield Wish(action, self._place("ssm", f"parameter/{each.removeprefix('/')}"))


def s3_wish(method: str, path: str, query: str) -> Wish:
    """Of a request to S3, buckets in the path."""
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    said = parse_qs(query, keep_blank_values=True)
    if key:
        object_actions = {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}
        action = object_actions.get(method, "PutObject")
        if method == "DELETE" and "uploadId" in said:
            action = "AbortMultipartUpload"
        return Wish(f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}")
    if method == "POST" and "delete" in said:
        return Wish("s3:DeleteObject", f"arn:aws:s3:::{bucket}/*")
    made = next((action for name, action in BUCKETS.items() if name in said), "")
    if method in ("GET", "HEAD"):
        asked = f"Get{made.removeprefix('Put')}" if made else "ListBucket"
        action = "GetBucketLocation" if "location" in said else asked
    elif method == "DELETE":
        action = "DeleteBucketPolicy" if made == "PutBucketPolicy" else "DeleteBucket"
    else:
        action = made or "CreateBucket"
    context = {"s3:prefix": said["prefix"]} if "prefix" in said else {}
    return Wish(f"s3:{action}", f"arn:aws:s3:::{bucket}", context)


def _ids(asked: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ON:
        said = asked.get(name)
        found += [said] if isinstance(said, str) else said or []
    return found


def _passed(role: str) -> Wish:
    return Wish("iam:PassRole", role, {"iam:PassedToService": ["ec2.amazonaws.com"]})


def _requested(asked: Mapping[str, Any]) -> Context:
    return {f"aws:RequestTag/{each['Key']}": [str(each.get("Value", ""))] for each in asked.get("Tags") or ()}


def _held(tags: Any) -> Context:
    return {f"aws:ResourceTag/{each['Key']}": [each["Value"]] for each in tags}
