"""What roles may do: each call with a role's credentials is held against its policies, also where moto answers it, and
also what CloudFormation does for it. Called by `service.Door`; whoever has other credentials may everything.

Sentences in quotation marks are AWS's: IAM User Guide, policy evaluation and condition elements.
"""

import fnmatch
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError
from msgspec.structs import replace

from homeport.simulation.aws.wish import Wish, Wishes

AGENT = (
    "ssm:UpdateInstanceInformation", "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
)  # fmt: skip
"""What Systems Manager's own agent can't do without: page "Configure instance permissions for Systems Manager"."""
AGENT_TOO = ("ssm:ListInstanceAssociations", "ec2messages:")
OPERATORS = ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "StringNotEquals", "Bool")


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
        self.wishes = Wishes(client, instances, account=account, region=region)
        self._lock = threading.Lock()
        self._roles: dict[str, str] = {}
        self._through: dict[str, str] = {}
        """Access key → the service that calls for whose it is."""
        self._bounds: dict[str, str] = {}
        """Role → ARN of its permissions boundary; empty: it has none."""
        self._statements: dict[str, list[dict[str, Any]]] = {}
        self.denied: list[str] = []
        self.used: dict[str, set[str]] = {}

    def issue(self, key: str, role: str) -> None:
        """This access key is of that role from now on."""
        with self._lock:
            self._roles[key] = role

    def on_behalf(self, key: str, service: str) -> str:
        """The key with which that service calls for who has this one; empty: for them nothing is limited. "When a
        principal makes a request to an AWS service, that service might use the principal's credentials to make
        subsequent requests to other services": aws:CalledVia (IAM User Guide, global condition keys)."""
        with self._lock:
            if key not in self._roles:
                return ""
            own = f"{key}-{service.partition('.')[0]}"
            self._roles[own], self._through[own] = self._roles[key], service
            return own

    def forget(self) -> None:
        """Policies may have changed."""
        with self._lock:
            self._statements.clear()
            self._bounds.clear()

    def limited(self, key: str) -> bool:
        return key in self._roles

    def permits(self, key: str, wishes: list[Wish]) -> bool:
        """Whether that key's role may all of it; what it may not is kept in `denied`. One that was deleted may nothing,
        and nobody wonders."""
        return not self.refused(key, wishes)

    def refused(self, key: str, wishes: list[Wish]) -> list[Wish]:
        """Those of them that it may not."""
        if key in self._through:
            called = {"aws:CalledVia": [self._through[key]], "aws:ViaAWSService": ["true"]}
            wishes = [replace(each, context={**each.context, **called}) for each in wishes]
        try:
            refused = [each for each in wishes if not self.granted(self._roles[key], each)]
        except ClientError:
            return wishes
        self.denied += [f"{self._roles[key]}: {each.words}" for each in refused]
        return refused

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

    def granted(self, role: str, wish: Wish, *, counts: bool = True) -> bool:
        """ "By default, all requests are implicitly denied … An explicit allow overrides this default. … An explicit
        deny in any policy overrides any allows." Of a role with a permissions boundary, "the effective permissions …
        are the intersection". `counts`: a policy that allows it was used."""
        bound = self._bound(role)
        return self._allowed(role, wish, counts=counts) and (not bound or self._allowed(bound, wish, counts=counts))

    def _allowed(self, role: str, wish: Wish, *, counts: bool = True) -> bool:
        """By the role's own policies, or by the one of which this is the ARN."""
        allowed = False
        for statement in self._of(role):
            found = _action_of(statement, wish.action)
            if found and _on(statement, wish.resource) and _holds(statement.get("Condition", {}), wish.context):
                if statement["Effect"] == "Deny":
                    return False
                if counts:
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

    def _bound(self, role: str) -> str:
        with self._lock:
            known = self._bounds.get(role)
        if known is None:
            said = self._client("iam").get_role(RoleName=role)["Role"].get("PermissionsBoundary", {})
            known = self._bounds[role] = str(said.get("PermissionsBoundaryArn", ""))
        return known

    def _ask(self, role: str) -> Iterator[dict[str, Any]]:
        iam = self._client("iam")
        if role.startswith("arn:"):
            yield from _listed(_document(iam, role)["Statement"])
            return
        documents = [
            iam.get_role_policy(RoleName=role, PolicyName=each)["PolicyDocument"]
            for each in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
        for each in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            documents.append(_document(iam, each["PolicyArn"]))
        for each in documents:
            yield from _listed(each["Statement"])


def _document(iam: Any, policy: str) -> dict[str, Any]:
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=policy, VersionId=version)["PolicyVersion"]["Document"]
    return dict(found)


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
