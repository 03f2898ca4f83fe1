"""What instances may do: each call with the credentials of an instance's role is held against its policies, also
where moto answers it. Called by `service.Door`; whoever has other credentials may everything.

Sentences in quotation marks are AWS's: IAM User Guide, policy evaluation and condition elements.
"""

import fnmatch
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from botocore.exceptions import ClientError
from msgspec import Struct

PREFIXES = {"elbv2": "elasticloadbalancing"}
"""botocore's name of a service → IAM's, where they differ."""
AGENT = (
    "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
)  # fmt: skip
"""What Systems Manager's own agent can't do without: page "Configure instance permissions for Systems Manager"."""
AGENT_TOO = ("ssm:ListInstanceAssociations", "ec2messages:")
OPERATORS = ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "StringNotEquals", "Bool")


class Wish(Struct, frozen=True):
    """What a call wants: `context` are the keys of conditions."""

    action: str
    resource: str
    context: dict[str, list[str]] = {}

    @property
    def words(self) -> str:
        with_ = ", ".join(f"{key}={' '.join(values)}" for key, values in self.context.items())
        return f"{self.action} on {self.resource}" + (f" with {with_}" if with_ else "")


class Rights:
    """Of one region. `denied`: what was, in words; `used`: grants of policies by role, as `Sid action`."""

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
        self._lock = threading.Lock()
        self._roles: dict[str, str] = {}
        self._statements: dict[str, list[dict[str, Any]]] = {}
        self.denied: list[str] = []
        self.used: dict[str, set[str]] = {}

    def issue(self, key: str, role: str) -> None:
        """This access key is of that role from now on."""
        with self._lock:
            self._roles[key] = role

    def forget(self) -> None:
        """Policies may have changed."""
        with self._lock:
            self._statements.clear()

    def limited(self, key: str) -> bool:
        return key in self._roles

    def permits(self, key: str, wishes: list[Wish]) -> bool:
        """Whether that key's role may all of it; what it may not is kept in `denied`. One that was deleted may nothing,
        and nobody wonders."""
        try:
            refused = [each for each in wishes if not self.granted(self._roles[key], each)]
        except ClientError:
            return False
        self.denied += [f"{self._roles[key]}: {each.words}" for each in refused]
        return not refused

    def sees_missing(self, key: str, bucket: str) -> bool:
        """GetObject: "If you have the s3:ListBucket permission on the bucket, Amazon S3 returns an HTTP status code 404
        (Not Found) error. If you don't …, 403". There is no prefix in that question: a condition on one fails."""
        return self.granted(self._roles[key], Wish("s3:ListBucket", f"arn:aws:s3:::{bucket}"))

    def there(self, bucket: str, key: str) -> bool:
        """Whether S3 has this object."""
        try:
            self._client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError:
            return False
        return True

    def manages(self, role: str) -> bool:
        """Whether Systems Manager's agent could work with this role."""
        able = all([self.granted(role, Wish(each, "*")) for each in AGENT])
        for sid, action in self._literal(role) if able else ():
            if action.startswith(AGENT_TOO):
                self.used.setdefault(role, set()).add(f"{sid} {action}")
        return able

    def granted(self, role: str, wish: Wish) -> bool:
        """ "By default, all requests are implicitly denied … An explicit allow overrides this default. … An explicit
        deny in any policy overrides any allows." """
        allowed = False
        for statement in self._of(role):
            found = _action_of(statement, wish.action)
            if found and _on(statement, wish.resource) and _holds(statement.get("Condition", {}), wish.context):
                if statement["Effect"] == "Deny":
                    return False
                self.used.setdefault(role, set()).add(f"{statement.get('Sid', '')} {found}")
                allowed = True
        return allowed

    def unused(self, role: str) -> list[str]:
        """What the role's policies grant and nobody needed yet, as `Sid action`."""
        return sorted({f"{sid} {action}" for sid, action in self._literal(role)} - self.used.get(role, set()))

    def _literal(self, role: str) -> list[tuple[str, str]]:
        return [(str(each.get("Sid", "")), action) for each in self._of(role) if each["Effect"] == "Allow"
                for action in _listed(each.get("Action", ()))]  # fmt: skip

    def _of(self, role: str) -> list[dict[str, Any]]:
        with self._lock:
            known = self._statements.get(role)
        if known is None:
            known = list(self._ask(role))
            with self._lock:
                self._statements[role] = known
        return known

    def _ask(self, role: str) -> Iterator[dict[str, Any]]:
        iam = self._client("iam")
        documents = [
            iam.get_role_policy(RoleName=role, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        for each in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            version = iam.get_policy(PolicyArn=each["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=each["PolicyArn"], VersionId=version)
            documents.append(found["PolicyVersion"]["Document"])
        for each in documents:
            yield from _listed(each["Statement"])

    # --- what a call wants

    def wishes(self, service: str, operation: str, asked: Mapping[str, Any]) -> list[Wish]:
        """Of a call other than S3's. Service Authorization Reference: an action without resource types wants `*`."""
        action = f"{PREFIXES.get(service, service)}:{operation}"
        match action:
            case "ec2:CreateTags" | "ec2:DeleteTags":
                keys = [each["Key"] for each in asked.get("Tags") or ()]
                return [Wish(action, self._arn(id), {"aws:TagKeys": keys, **self._tags(id)})
                        for id in asked.get("Resources") or ()]  # fmt: skip
            case "ssm:GetParameter" | "ssm:GetParameters":
                names = [asked["Name"]] if "Name" in asked else list(asked.get("Names") or ())
                place = f"arn:aws:ssm:{self._region}:{self._account}:parameter"
                return [Wish(action, f"{place}/{each.removeprefix('/')}") for each in names]
        group = asked.get("AutoScalingGroupName")
        if service == "autoscaling" and group and not operation.startswith("Describe"):
            place = f"arn:aws:autoscaling:{self._region}:{self._account}:autoScalingGroup"
            return [Wish(action, f"{place}:0:autoScalingGroupName/{group}")]
        return [Wish(action, "*")]

    def _arn(self, id: str) -> str:
        kind = {"i": "instance", "vol": "volume", "eni": "network-interface"}.get(id.partition("-")[0], "*")
        return f"arn:aws:ec2:{self._region}:{self._account}:{kind}/{id}"

    def _tags(self, id: str) -> dict[str, list[str]]:
        tags = self._instances().get(id, {}).get("Tags", ())
        return {f"aws:ResourceTag/{each['Key']}": [each["Value"]] for each in tags}


def s3_wish(method: str, path: str, query: str) -> Wish:
    """Of a request to S3, buckets in the path. Service Authorization Reference, Amazon S3."""
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    said = parse_qs(query, keep_blank_values=True)
    if key:
        object_actions = {"GET": "GetObject", "HEAD": "GetObject", "DELETE": "DeleteObject"}
        action = object_actions.get(method, "PutObject")
        if method == "DELETE" and "uploadId" in said:
            action = "AbortMultipartUpload"
        return Wish(f"s3:{action}", f"arn:aws:s3:::{bucket}/{key}")
    action = "GetBucketLocation" if "location" in said else "ListBucket" if method in ("GET", "HEAD") else "PutBucket"
    context = {"s3:prefix": said["prefix"]} if "prefix" in said else {}
    return Wish(f"s3:{action}", f"arn:aws:s3:::{bucket}", context)


def _action_of(statement: Mapping[str, Any], action: str) -> str:
    """The statement's own word for the action; empty: it isn't about it. "Action … not case sensitive"."""
    if "NotAction" in statement:
        return "" if any(_like(each, action, fold=True) for each in _listed(statement["NotAction"])) else "NotAction"
    return next((each for each in _listed(statement["Action"]) if _like(each, action, fold=True)), "")


def _on(statement: Mapping[str, Any], resource: str) -> bool:
    """A call on no resource in particular needs a statement for all of them."""
    if "NotResource" in statement:
        return not any(_like(each, resource) for each in _listed(statement["NotResource"]))
    return any(_like(each, resource) for each in _listed(statement["Resource"]))


def _holds(conditions: Mapping[str, Any], context: Mapping[str, list[str]]) -> bool:
    """ "If the key that you specify in a policy condition is not present in the request context, the values do not
    match and the condition is false"; with ForAllValues "true … if there are no keys in the request". An operator that
    isn't known here never holds."""
    for operator, wanted in conditions.items():
        kind, _, name = operator.rpartition(":")
        known = name.removesuffix("IfExists") in OPERATORS
        for key, values in wanted.items():
            there = context.get(key, [])
            if not there and (kind == "ForAllValues" or name.endswith("IfExists")):
                continue
            matched = [any(_compared(name, value, each) for value in _listed(values)) for each in there]
            if not known or not there or not (any(matched) if kind == "ForAnyValue" else all(matched)):
                return False
    return True


def _compared(operator: str, wanted: str, found: str) -> bool:
    name = operator.removesuffix("IfExists")
    if name in ("StringLike", "ArnLike", "ArnEquals"):
        return _like(str(wanted), found)
    equal = str(wanted).lower() == found.lower() if name == "Bool" else str(wanted) == found
    return not equal if name == "StringNotEquals" else equal


def _like(pattern: str, text: str, *, fold: bool = False) -> bool:
    if fold:
        pattern, text = pattern.lower(), text.lower()
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def _listed(said: Any) -> list[Any]:
    return list(said) if isinstance(said, list | tuple) else [said]
