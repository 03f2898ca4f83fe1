"""What a platform file comes to for one app in one environment, and what it says of both. Called by plan.platform.

Layers: the file's top ← [apps.<app>] ← [environments.<environment>]; the nearest wins, tables merge, arrays are
replaced.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from msgspec import Struct

from homeport.model.platform import Deploy, Group, Health, Instances, Mode, Place, Resolved, Retention, Route, Tls
from homeport.plan.mistake import Mistake, instead
from homeport.plan.platform_check import PLACE, SECTIONS, Data, Notes
from homeport.plan.platform_value import LONGEST_NAME, name_problem
from homeport.plan.procfile import RELEASE, Procfile
from homeport.plan.toml_line import Path


class AppEntry(Struct, frozen=True, kw_only=True):
    """`source`: a path relative to the file, or a git URL."""

    name: str
    source: str = "."


class Dependencies(Struct, frozen=True, kw_only=True):
    """[build] dependencies: makes `paths` (relative to the app) a layer of their own."""

    command: str
    paths: tuple[str, ...]


class Build(Struct, frozen=True, kw_only=True):
    """[build]. `python`, `node`, `command`, `dependencies` None: detected."""

    python: str | None = None
    node: str | None = None
    """A major version; NO_NODE: package.json isn't looked at."""
    command: str | None = None
    dependencies: Dependencies | None = None
    env: dict[str, str] = {}
    collectstatic: bool = True
    timeout: timedelta = timedelta(minutes=30)


class PlatformFile(Struct, frozen=True, kw_only=True):
    """One homeport.toml, each value read. `environments`: their names, in the file's order."""

    file: str
    name: str
    apps: tuple[AppEntry, ...]
    environments: tuple[str, ...]
    default: str | None
    build: Build
    data: dict[str, Any]
    """The whole file as tables, with typed values; `lines` places them."""
    lines: dict[Path, int]

    def environment(self, name: str) -> Data:
        """What the file says of an environment beside sections: engine, mode, listen, tls, account, region."""
        said = self.data.get("environments", {}).get(name, {})
        return {key: value for key, value in said.items() if key in PLACE}


def group_name(process_type: str) -> str:
    """The name of the group that a process type makes by itself: lower case, `_` as `-`. May be no valid name."""
    return process_type.lower().replace("_", "-").strip("-")[:LONGEST_NAME].rstrip("-")


class Resolving:
    """One app in one environment. Without a Procfile, only what doesn't need one is checked."""

    def __init__(
        self, platform: PlatformFile, environment: str, app: str, procfile: Procfile | None, notes: Notes
    ) -> None:
        self._platform, self._environment, self._app = platform, environment, app
        self._procfile, self._notes = procfile, notes
        base: Data = {key: value for key, value in platform.data.items() if key in SECTIONS}
        own: Data = platform.data.get("apps", {}).get(app, {})
        here: Data = platform.data.get("environments", {}).get(environment, {})
        declared = _merged(base, own)
        self._implicit = "groups" not in declared
        if self._implicit and procfile is not None:
            declared = _merged(declared, {"groups": self._own_groups(procfile)})
        self._data = _merged(declared, here)

    def result(self) -> Resolved:
        tables: Data = self._data.get("groups", {})
        routes = self._routes(tables)
        return Resolved(
            app=self._app,
            place=self._place(),
            groups=tuple(self._group(name, said, routes) for name, said in tables.items()),
            routes=routes,
            deploy=Deploy(**self._data.get("deploy", {})),
            processes=dict(self._procfile.processes) if self._procfile else {},
            release_task=self._procfile.release if self._procfile else None,
            retention=Retention(**self._data.get("retention", {})),
        )

    def _note(self, path: Path, text: str) -> None:
        """Placed where the nearest layer says it."""
        prefixes: tuple[Path, ...] = (("environments", self._environment), ("apps", self._app), ())
        for end in range(len(path), 0, -1):
            for prefix in prefixes:
                if prefix + path[:end] in self._platform.lines:
                    self._notes.add(prefix + path, text)
                    return
        self._notes.mistakes.append(Mistake(0, text))

    def _own_groups(self, procfile: Procfile) -> Data:
        groups: Data = {}
        for type_ in procfile.processes:
            name = group_name(type_)
            if name_problem(name) or name in groups:
                self._notes.mistakes.append(
                    Mistake(0, f'process type "{type_}" gives no group a name; write [groups.<name>] run = ["{type_}"]')
                )
            else:
                groups[name] = {"run": [type_]}
        return groups

    def _place(self) -> Place:
        said = self._platform.environment(self._environment)
        tls = said.get("tls")
        return Place(
            platform=self._platform.name,
            name=self._environment,
            engine=said.get("engine", "local"),
            mode=said.get("mode", _mode(self._environment)),
            listen=said.get("listen"),
            tls=Tls(**tls) if tls and len(tls) == 2 else None,
        )

    def _group(self, name: str, said: Data, routes: tuple[Route, ...]) -> Group:
        path: Path = ("groups", name)
        run = tuple(said.get("run", [name]))
        self._check_run((*path, "run"), run)
        balanced = said.get("balanced", "web" in run or any(each.to == name for each in routes))
        health = _merged(self._data.get("health", {}), said.get("health", {}))
        if not balanced:
            # Nobody asks a group without targets: its instances are well when their processes have stayed up.
            health.pop("path", None)
        plain = {key: said[key] for key in ("stop_grace", "drain") if key in said}
        return Group(
            name=name,
            run=run,
            instances=self._instances((*path, "instances"), said.get("instances", {})),
            memory_bytes=said.get("memory"),
            health=Health(**health),
            balanced=balanced,
            **plain,
        )

    def _check_run(self, path: Path, run: tuple[str, ...]) -> None:
        for type_ in run:
            if type_ == RELEASE:
                self._note(path, '"release" is the release task: it runs once in each deployment, in no group')
            elif self._procfile is not None and type_ not in self._procfile.processes:
                there = self._procfile.processes
                self._note(path, f'no process type "{type_}" in the Procfile{instead(type_, there)}')

    def _instances(self, path: Path, said: Mapping[str, int]) -> Instances:
        desired = said.get("desired", max(1, said.get("min", 1)))
        least, most = said.get("min", min(1, desired)), said.get("max", max(10, desired))
        if not least <= desired <= most:
            self._note(path, f"expected min ≤ desired ≤ max, found {least}, {desired}, {most}")
        return Instances(min=least, desired=desired, max=most)

    def _routes(self, groups: Data) -> tuple[Route, ...]:
        if "routes" not in self._data:
            return self._default_route(groups)
        routes: list[Route] = []
        first: dict[tuple[str | None, str], int] = {}
        for row, said in enumerate(self._data["routes"]):
            path: Path = ("routes", row)
            if "to" not in said:
                continue
            route = Route(**said)
            routes.append(route)
            # `/blog` and `/blog/` are one prefix.
            key = (route.host, route.path.rstrip("/"))
            if key in first:
                self._note(path, f"host and path are those of routes[{first[key] + 1}]")
            first.setdefault(key, row)
            self._check_target((*path, "to"), route, groups)
        return tuple(routes)

    def _check_target(self, path: Path, route: Route, groups: Data) -> None:
        if route.upstream or (self._implicit and self._procfile is None):
            return
        if route.to not in groups:
            self._note(path, f'no group "{route.to}"{instead(route.to, groups)}')
        elif groups[route.to].get("balanced") is False:
            self._note(path, f'group "{route.to}" says balanced = false, so no route can lead to it')

    def _default_route(self, groups: Data) -> tuple[Route, ...]:
        able = [
            name
            for name, said in groups.items()
            if "web" in said.get("run", [name]) and said.get("balanced") is not False
        ]
        if len(able) > 1 and "web" not in able:
            self._note(("groups", able[1]), f"{listed(able)} all run web; say in [[routes]] which of them gets what")
        return (Route(to="web" if "web" in able else able[0]),) if able else ()


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Data:
    """Both, without changing either: what `above` says wins, tables merge, arrays are replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _mode(environment: str) -> Mode:
    if environment == "review" or environment.startswith("review-"):
        return "review"
    return "production" if environment == "production" else "staging"


def listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
