"""The routes of one app in one environment, as the platform file says them. Called by plan.formation and plan.platform.

In a file of one app the nearest [[routes]] hold. In a file of several, those above the apps are the platform's table:
each row names the app whose group it leads to (`blog/web`), and is carried by that app's releases. What stands in
[[apps.<app>.routes]] is added to them. An upstream outside that the table names is carried by the first app.
"""

from collections.abc import Sequence

from homeport.model.platform import Route
from homeport.plan.mistake import instead
from homeport.plan.platform_check import Data, Notes, show
from homeport.plan.route import key, shown
from homeport.plan.toml_line import Path

Row = tuple[Path, Data]


class RouteTable:
    """`found`: each route with its place in the file, once `routes` was called; the default one has the app's place."""

    def __init__(self, data: Data, environment: str, app: str, *, apps: Sequence[str], notes: Notes) -> None:
        self._app, self._apps, self._notes = app, apps, notes
        self._own: list[Path] = [("environments", environment, "apps", app), ("apps", app)]
        self._shared: list[Path] = [("environments", environment), ()]
        self._data = data
        self.found: list[tuple[Path, Route]] = []

    def routes(self, groups: Data, *, unknown: bool) -> tuple[Route, ...]:
        """`unknown`: the groups aren't known yet, so whatever a route leads to may be there."""
        rows = self._rows()
        if rows is None:
            default = self._default(groups)
            self.found = [] if default is None else [(("apps", self._app), default)]
        else:
            self.found = []
            for path, said in rows:
                if "to" in said and (route := self._route(path, said)) is not None:
                    self.found.append((path, route))
                    self._check_target((*path, "to"), route, groups, unknown=unknown)
            _check_twice(self.found, self._notes)
        return tuple(route for _, route in self.found)

    def _rows(self) -> list[Row] | None:
        """None: the file says nothing of routes."""
        there, own = (self._said(path) for path in self._own)
        here, top = (self._said(path) for path in self._shared)
        if len(self._apps) < 2:
            return next((each for each in (there, here, own, top) if each is not None), None)
        if there is not None or here is not None:
            return there if there is not None else here
        return None if own is None and top is None else [*(own or ()), *(top or ())]

    def _said(self, path: Path) -> list[Row] | None:
        data = self._data
        for part in path:
            data = data.get(str(part), {})
        if "routes" not in data:
            return None
        return [((*path, "routes", row), said) for row, said in enumerate(data["routes"])]

    def _route(self, path: Path, said: Data) -> Route | None:
        """None: it is carried by another app, or is a mistake."""
        to = str(said["to"])
        shared = path[:-2] in self._shared and len(self._apps) > 1
        if "://" in to:
            return Route(**said) if not shared or self._app == self._apps[0] else None
        app, named, group = to.rpartition("/")
        if shared and not named:
            self._notes.add((*path, "to"), f'say whose group that is, such as "{self._apps[0]}/{to}"')
            return None
        if named and app not in self._apps:
            self._notes.add((*path, "to"), f'no app "{app}"{instead(app, self._apps)}')
            return None
        if named and app != self._app:
            if not shared:
                self._notes.add((*path, "to"), f"leads to another app than {self._app}: it belongs in [[routes]]")
            return None
        return Route(**{**said, "to": group})

    def _check_target(self, path: Path, route: Route, groups: Data, *, unknown: bool) -> None:
        if route.upstream or unknown:
            return
        if route.to not in groups:
            whose = f" of {self._app}" if len(self._apps) > 1 else ""
            self._notes.add(path, f'no group "{route.to}"{whose}{instead(route.to, groups)}')
        elif groups[route.to].get("balanced") is False:
            self._notes.add(path, f'group "{route.to}" says balanced = false, so no route can lead to it')

    def _default(self, groups: Data) -> Route | None:
        able = [
            name
            for name, said in groups.items()
            if "web" in said.get("run", [name]) and said.get("balanced") is not False
        ]
        if len(able) > 1 and "web" not in able:
            path = next((each for each in self._group_paths(able[1]) if self._notes.known(each)), ())
            self._notes.add(path, f"{', '.join(able)} all run web; say in [[routes]] which of them gets what")
        return Route(to="web" if "web" in able else able[0]) if able else None

    def _group_paths(self, group: str) -> list[Path]:
        there, own = self._own
        here, top = self._shared
        return [(*each, "groups", group) for each in (there, here, own, top)]


def check_clashes(tables: Sequence[RouteTable], notes: Notes) -> None:
    """Notes each route that two apps have. Call it when the tables' routes are known."""
    _check_twice([each for table in tables for each in table.found], notes)


def _check_twice(found: Sequence[tuple[Path, Route]], notes: Notes) -> None:
    first: dict[tuple[str | None, str], Path] = {}
    for path, route in found:
        known = first.setdefault(key(route), path)
        if known == path:
            continue
        if path[-2] != "routes":
            same = f'gets "{shown(route)}" because it says no routes; so does {show(known)}'
            notes.add(path, f"{same}: write [[{show(path)}.routes]]")
        else:
            notes.add(path, f'"{shown(route)}" is that of {show(known)} in line {notes.line(known)}')
