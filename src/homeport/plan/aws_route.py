"""Routes as rules of an Application Load Balancer. Pure. Called by `plan.aws_stacks`."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.platform import Resolved, Route


class Rule(Struct, frozen=True, kw_only=True):
    """`conditions` in CloudFormation's words. A lower priority is asked first."""

    priority: int
    app: str
    group: str
    conditions: list[dict[str, Any]]


def rules(apps: Sequence[Resolved]) -> list[Rule]:
    """One for each route, a stated host before any host and the longer path first, as the local balancer has it. Raises
    `Invalid` with every route that a load balancer of AWS can't have."""
    every = [(app.app, route) for app in apps for route in app.routes]
    mistakes = [text for app, route in every if (text := _problem(app, route))]
    if mistakes:
        raise Invalid("there are routes that engine aws can't have", details=tuple(mistakes), hint="docs/limits.md")
    every.sort(key=lambda each: (each[1].host is None, each[1].host or "", -len(each[1].path), each[1].path))
    return [
        Rule(priority=number, app=app, group=route.to, conditions=_conditions(route))
        for number, (app, route) in enumerate(every, 1)
    ]


def _problem(app: str, route: Route) -> str:
    what = f"{app}: {route.host or ''}{route.path} → {route.to}"
    if route.upstream:
        return f"{what}: a load balancer of AWS sends nothing to an upstream outside"
    if route.strip_prefix:
        return f"{what}: strip_prefix"
    return ""


def _conditions(route: Route) -> list[dict[str, Any]]:
    """ "A rule can have up to five condition values" (Elastic Load Balancing, quotas); there are at most three."""
    base = route.path.rstrip("/")
    paths = [base, f"{base}/*"] if base else ["/*"]
    found: list[dict[str, Any]] = [{"Field": "path-pattern", "PathPatternConfig": {"Values": paths}}]
    if route.host is not None:
        found.append({"Field": "host-header", "HostHeaderConfig": {"Values": [route.host]}})
    return found
