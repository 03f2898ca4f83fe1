"""Routes as rules of an Application Load Balancer. Pure. Called by `plan.aws_stacks`; what maintenance puts before
them, by `engines.aws`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.model.platform import Resolved, Route
from homeport.plan.balancer_pages import MAINTENANCE_PAGE

STEP = 10
"""Between the priorities of two routes: what maintenance puts before a route comes in between."""
LAST = 49_999
"""Priority of what is asked last of all. The largest is 50,000."""
LARGEST_PAGE_BYTES = 1024
"""FixedResponseActionConfig, MessageBody: "Length Constraints: … Maximum length of 1024"."""
NETWORKS_OF_A_RULE = 2
"""Beside at most two paths and a host: "up to five condition values"."""


class Rule(Struct, frozen=True, kw_only=True):
    """`conditions` in CloudFormation's words. A lower priority is asked first."""

    priority: int
    app: str
    group: str
    conditions: list[dict[str, Any]]
    page: str = ""
    """What is answered, with 503, instead of sending the request to the group; empty: it is sent there."""


def rules(apps: Sequence[Resolved]) -> list[Rule]:
    """One for each route, a stated host before any host and the longer path first, as the local balancer has it. Raises
    `Invalid` with every route that a load balancer of AWS can't have."""
    every = [(app.app, route) for app in apps for route in app.routes]
    mistakes = [text for app, route in every if (text := _problem(app, route))]
    if mistakes:
        raise Invalid("there are routes that engine aws can't have", details=tuple(mistakes), hint="docs/limits.md")
    every.sort(key=lambda each: (each[1].host is None, each[1].host or "", -len(each[1].path), each[1].path))
    return [
        Rule(priority=STEP * number, app=app, group=route.to, conditions=_conditions(route))
        for number, (app, route) in enumerate(every, 1)
    ]


def maintenance_rules(apps: Sequence[Resolved], asked: Sequence[MaintenanceAsked]) -> list[Rule]:
    """What stands before the routes of what is closed: for networks that are let through, the way that they have; for
    all others the page. The whole environment closed, what no route takes gets the page too. Raises `Invalid` for a
    page, or for networks, that a load balancer of AWS has no room for."""
    whole = next((each for each in asked if not each.app), None)
    found: list[Rule] = []
    for route in rules(apps):
        said = next((each for each in asked if each.app == route.app), whole)
        if said is not None:
            found += _before(route, said)
    if whole is not None:
        everything: list[dict[str, Any]] = [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}]
        found.append(Rule(priority=LAST, app="", group="", conditions=everything, page=_page(whole)))
    return found


def _before(route: Rule, said: MaintenanceAsked) -> Iterator[Rule]:
    most = (STEP - 2) * NETWORKS_OF_A_RULE
    if len(said.allow) > most:
        raise Invalid(f"{len(said.allow)} networks are let through, a load balancer of AWS has room for {most}")
    first = route.priority - STEP + 1
    for number, start in enumerate(range(0, len(said.allow), NETWORKS_OF_A_RULE)):
        values = [_network(each) for each in said.allow[start : start + NETWORKS_OF_A_RULE]]
        source = {"Field": "source-ip", "SourceIpConfig": {"Values": values}}
        yield replace(route, priority=first + number, conditions=[*route.conditions, source])
    yield replace(route, priority=route.priority - 1, page=_page(said))


def _network(text: str) -> str:
    """As AWS writes a single address."""
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


def _page(said: MaintenanceAsked) -> str:
    page = said.page or MAINTENANCE_PAGE
    if len(page.encode()) > LARGEST_PAGE_BYTES:
        size = len(page.encode())
        raise Invalid(
            f"[maintenance] page: it has {size} bytes, a load balancer of AWS takes {LARGEST_PAGE_BYTES}",
            hint="images, fonts and styles can come from elsewhere",
        )
    return page


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
