"""Maintenance: what of an environment's public side is closed, for whom, and with which page. Pure.

Called by `control.control` (what to keep when it is switched on) and `engines.local.traffic` (what the balancer does).
"""

from collections.abc import Mapping

from homeport.errors import Invalid
from homeport.model.asked import MaintenanceAsked
from homeport.model.platform import Resolved, Route
from homeport.plan.balancer import Closed, backend_name, upstream_backend
from homeport.plan.balancer_pages import MAINTENANCE_PAGE

LARGEST_PAGE_BYTES = 14_000
"""HAProxy answers with a page out of one buffer of 16 kB, in which headers need room too."""


def check_page(name: str, content: bytes | None) -> str:
    """The page's text. Raises `Invalid` for one that isn't there (None), is too large, or isn't UTF-8."""
    if content is None:
        raise Invalid(
            f"[maintenance] page: there is no {name} in the code", hint=f"git add {name}   # and commit, then deploy"
        )
    if len(content) > LARGEST_PAGE_BYTES:
        raise Invalid(
            f"[maintenance] page: {name} has {len(content)} bytes, at most {LARGEST_PAGE_BYTES}",
            hint="images, fonts and styles can come from elsewhere",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"[maintenance] page: {name} isn't UTF-8") from error


def who_says(routed: Mapping[str, Resolved], app: str | None) -> Resolved | None:
    """The release whose [maintenance] holds: the app's own; of a whole environment, that of the app at its root, else
    of the first one. `routed`: app → the release whose routes hold. None: nothing is released."""
    if app is not None:
        return routed.get(app)
    ordered = [routed[name] for name in sorted(routed)]
    roots = [each for each in ordered if any(route.path == "/" for route in each.routes)]
    return next(iter([*roots, *ordered]), None)


def closed(asked: tuple[MaintenanceAsked, ...], environment: str, routed: Mapping[str, Resolved]) -> tuple[Closed, ...]:
    """What the environment's public frontend answers itself. Health checks that come by its routes go on to be
    answered by the app, so that whatever stands in front leaves it in."""
    found = []
    for said in asked:
        apps = {name: each for name, each in routed.items() if said.app in ("", name)}
        found.append(
            Closed(
                name=f"{environment.replace('/', '.')}.{said.app or '-'}",
                backends=()
                if not said.app
                else tuple(
                    sorted({_backend(environment, name, route) for name, each in apps.items() for route in each.routes})
                ),
                page=said.page or MAINTENANCE_PAGE,
                allow=said.allow,
                open_paths=tuple(sorted({path for each in apps.values() for path in _health_paths(each)})),
                retry_after=said.retry_after,
            )
        )
    # An app that has no routes is closed as it is.
    return tuple(each for each in found if each.backends or each.name.endswith(".-"))


def _backend(environment: str, app: str, route: Route) -> str:
    return upstream_backend(environment, route.to).name if route.upstream else backend_name(environment, app, route.to)


def _health_paths(resolved: Resolved) -> list[str]:
    """As clients of the public side ask for them."""
    found = []
    for route in resolved.routes:
        group = None if route.upstream else resolved.group(route.to)
        if group is None or group.health.path is None:
            continue
        path = group.health.path.partition("?")[0]
        prefix = route.path.rstrip("/")
        if route.strip_prefix:
            found.append(prefix + path)
        elif path.startswith(f"{prefix}/"):
            found.append(path)
    return found
