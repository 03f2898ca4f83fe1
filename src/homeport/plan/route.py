"""Routes of several apps in one route table. Pure; called by plan.platform_route, `control`, engines, the agent and
the command line."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from homeport.model.platform import Resolved, Route


class Holder(Struct, frozen=True, kw_only=True):
    """An app with the release whose routes hold, or are about to."""

    release: str
    """As people say it: `r3`, or `its last commit`."""
    resolved: Resolved


class Clash(Struct, frozen=True, kw_only=True):
    """A route that two apps have."""

    route: Route
    other: Holder

    @property
    def text(self) -> str:
        return f"the route {shown(self.route)} belongs to {self.other.resolved.app} ({self.other.release})"


def key(route: Route) -> tuple[str | None, str]:
    """What two routes of one table mustn't share: `/blog` and `/blog/` are one prefix."""
    return route.host, route.path.rstrip("/")


def shown(route: Route) -> str:
    """`www.example.com/blog`; without a host, the path alone."""
    return f"{route.host or ''}{route.path}"


def first_host(resolved: Resolved | None, listen: str) -> str:
    """The Host that clients of the first route send, without a port. `listen`: where they are served."""
    for route in resolved.routes if resolved else ():
        if route.host is not None:
            return route.host
    return listen.rpartition(":")[0]


def clash(wanted: Resolved, others: Iterable[Holder]) -> Clash | None:
    """The first route of `wanted` that another app has too; None: there is none. The same upstream outside, said
    twice, is no clash: it makes no difference who wins."""
    mine = {key(route): route for route in wanted.routes}
    for other in others:
        if other.resolved.app == wanted.app:
            continue
        for route in other.resolved.routes:
            own = mine.get(key(route))
            if own is not None and not (own.upstream and own == route):
                return Clash(route=own, other=other)
    return None


def in_order(wanted: Sequence[Resolved], running: Mapping[str, Resolved]) -> list[Resolved]:
    """The apps in an order in which a route that moves from one to another is given up before it is taken; else as they
    came. `running`: by app. Where there is no such order, two winners are left to be refused."""
    now, left, found = dict(running), list(wanted), list[Resolved]()
    while left:
        held = [Holder(release="", resolved=now[each.app]) for each in left if each.app in now]
        first = next((each for each in left if clash(each, held) is None), left[0])
        left.remove(first)
        found.append(first)
        now[first.app] = first
    return found
