"""What of an environment is closed to the public: rules of the load balancer, put before those of its routes and taken
away again. Used by `engine`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from homeport.engines.aws.error import translated
from homeport.errors import NotFound
from homeport.plan.aws_route import Rule
from homeport.system.effect import effect

TAG = "homeport-maintenance"
"""Says whose it is: operators of another platform may not take it away."""
TAGGED_AT_ONCE = 20
"""DescribeTags: "You can specify up to 20 resources in a single call"."""


class Closures:
    """Of a platform's environment. `listener`: ARN of the one that the public speaks to."""

    def __init__(self, client: Callable[[str], Any], platform: str, listener: Callable[[], str]) -> None:
        self._client = client
        self._platform = platform
        self._listener = listener

    def bring(self, rules: Sequence[Rule], targets: Mapping[tuple[str, str], str]) -> None:
        """These stand before the routes, and no others of ours. `targets`: of groups. Whoever is let through comes
        before who isn't, so that nobody of them meets the page. Raises `Unavailable`, `Invalid`, `NotFound`."""
        listener = self._listener()
        wanted = {each.priority: (each.conditions, _actions(each, targets)) for each in rules}
        there = self._ours(listener)
        for priority, (arn, said) in there.items():
            if wanted.get(priority) != said:
                self._delete(arn)
        for priority, (conditions, actions) in sorted(wanted.items()):
            if priority not in there or there[priority][1] != (conditions, actions):
                self._create(listener, priority, conditions, actions)

    def _ours(self, listener: str) -> dict[int, tuple[str, tuple[Any, Any]]]:
        """Priority → (ARN, what it says)."""
        elb = self._client("elbv2")
        with translated("the rules of the load balancer"):
            pages = elb.get_paginator("describe_rules").paginate(ListenerArn=listener)
            rules = {each["RuleArn"]: each for page in pages for each in page["Rules"] if not each["IsDefault"]}
            arns, mine = list(rules), []
            for first in range(0, len(arns), TAGGED_AT_ONCE):
                said = elb.describe_tags(ResourceArns=arns[first : first + TAGGED_AT_ONCE])["TagDescriptions"]
                mine += [each["ResourceArn"] for each in said if any(tag["Key"] == TAG for tag in each["Tags"])]
        return {int(rules[arn]["Priority"]): (arn, _said(rules[arn])) for arn in mine}

    @effect("aws.close_route")
    def _create(self, listener: str, priority: int, conditions: Any, actions: Any) -> None:
        with translated(f"a rule of the load balancer of priority {priority}"):
            self._client("elbv2").create_rule(
                ListenerArn=listener,
                Priority=priority,
                Conditions=conditions,
                Actions=actions,
                Tags=[{"Key": TAG, "Value": self._platform}],
            )

    @effect("aws.open_route")
    def _delete(self, arn: str) -> None:
        with translated(f"the rule {arn}"):
            self._client("elbv2").delete_rule(RuleArn=arn)


def _actions(rule: Rule, targets: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    if rule.page:
        said = {"StatusCode": "503", "ContentType": "text/html", "MessageBody": rule.page}
        return [{"Type": "fixed-response", "FixedResponseConfig": said}]
    target = targets.get((rule.app, rule.group))
    if target is None:
        raise NotFound(f"{rule.app}/{rule.group} has no target group", hint="homeport up")
    return [{"Type": "forward", "TargetGroupArn": target}]


def _said(rule: Mapping[str, Any]) -> tuple[Any, Any]:
    """Conditions and actions without what AWS adds to them."""
    kinds = ("Field", "PathPatternConfig", "HostHeaderConfig", "SourceIpConfig")
    conditions = [{key: each[key] for key in kinds if each.get(key)} for each in rule["Conditions"]]
    wanted = ("Type", "FixedResponseConfig", "TargetGroupArn")
    return conditions, [{key: each[key] for key in wanted if each.get(key)} for each in rule["Actions"]]
