"""What a platform file comes to for one app in one environment, and what it says of both. Called by plan.platform.

Layers: the file's top ← [apps.<app>] ← [environments.<environment>] ← [environments.<environment>.apps.<app>]; the
nearest wins, tables merge, arrays are replaced. Routes are in `plan.platform_route`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec import Struct

from homeport.model.platform import (
    Breaker,
    Deploy,
    Group,
    Health,
    Hook,
    Hooks,
    Instances,
    Maintenance,
    Mode,
    Place,
    Resolved,
    Retention,
    Route,
    Tls,
)
from homeport.plan import platform_aws, platform_deploy, platform_order
from homeport.plan.mistake import Mistake, instead
from homeport.plan.platform_check import PLACE, SECTIONS, Data, Notes
from homeport.plan.platform_name import LONGEST_NAME
from homeport.plan.platform_route import RouteTable
from homeport.plan.platform_value import is_git_url, name_problem
from homeport.plan.procfile import Procfile
from homeport.plan.toml_line import Path

PLAIN = ("stop_grace", "drain", "surge", "replace_budget", "max_lifetime", "elastic_ips")
"""Keys of a group that are taken as they are."""
PER_APP = ("groups", "processes", "routes")
"""Sections that aren't shared where a file has several apps."""


class AppEntry(Struct, frozen=True, kw_only=True):
    """`source`: a path beside the file, or a git URL. `ref`: a branch or tag of the URL; None: what its HEAD is."""

    name: str
    source: str = "."
    ref: str | None = None

    @property
    def remote(self) -> bool:
        return is_git_url(self.source)


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
        """What the file says of an environment beside sections: engine, mode, listen, tls, redirect, …"""
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
        apps = tuple(each.name for each in platform.apps)
        shared = SECTIONS if len(apps) < 2 else {key for key in SECTIONS if key not in PER_APP}
        base: Data = {key: value for key, value in platform.data.items() if key in shared}
        own: Data = platform.data.get("apps", {}).get(app, {})
        said: Data = platform.data.get("environments", {}).get(environment, {})
        here: Data = {key: value for key, value in said.items() if key in shared}
        there: Data = said.get("apps", {}).get(app, {})
        declared = merged(base, own)
        self._implicit = "groups" not in declared
        if self._implicit and procfile is not None:
            declared = merged(declared, {"groups": self._own_groups(procfile)})
        self._data = merged(merged(declared, here), there)
        self.table = RouteTable(platform.data, environment, app, apps=apps, notes=notes)

    def result(self) -> Resolved:
        there = None if self._procfile is None else self._procfile.processes
        unknown = self._implicit and there is None
        run = platform_order.runs(self._data.get("groups", {}), there, self._note)
        tables: Data = {name: {**said, "run": run[name]} for name, said in self._data.get("groups", {}).items()}
        routes = self.table.routes(tables, unknown=unknown)
        types = platform_order.process_types(self._data.get("processes", {}), there, self._note)
        apps = [each.name for each in self._platform.apps]
        order = platform_order.group_order(tables, run, types, self._note, app=self._app, apps=apps, unknown=unknown)
        for name in tables:
            platform_order.check_run(name, run[name], there, self._note)
        place = self.place()
        if place.engine == "aws":
            # a whole second set of instances takes minutes and money there
            self._data = merged({"deploy": {"strategy": "rolling"}}, self._data)
        deploy = platform_deploy.deploy(self._data.get("deploy", {}), ("deploy",), self._note)
        groups = tuple(self._group(name, said, routes, order.get(name, ())) for name, said in tables.items())
        platform_deploy.check(deploy, None if unknown else groups, self._note)
        platform_aws.check_addresses(groups, deploy, place.engine, self._note)
        return Resolved(
            app=self._app,
            place=place,
            groups=groups,
            routes=routes,
            deploy=deploy,
            processes=dict(self._procfile.processes) if self._procfile else {},
            release_task=self._procfile.release if self._procfile else None,
            types=types,
            retention=Retention(**self._data.get("retention", {})),
            maintenance=Maintenance(**self._data.get("maintenance", {})),
        )

    def _note(self, path: Path, text: str) -> None:
        """Placed where the nearest layer says it."""
        here: Path = ("environments", self._environment)
        prefixes: tuple[Path, ...] = ((*here, "apps", self._app), here, ("apps", self._app), ())
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

    def place(self) -> Place:
        """The environment, whatever runs in it."""
        said = self._platform.environment(self._environment)
        tls = said.get("tls")
        return Place(
            platform=self._platform.name,
            name=self._environment,
            engine=said.get("engine", "local"),
            mode=said.get("mode", _mode(self._environment)),
            listen=said.get("listen"),
            tls=Tls(**tls) if tls and len(tls) == 2 else None,
            redirect=self._redirect(said),
            aws=platform_aws.aws(said, ("environments", self._environment), self._notes),
        )

    def _group(self, name: str, said: Data, routes: tuple[Route, ...], after: tuple[str, ...]) -> Group:
        path: Path = ("groups", name)
        run: tuple[str, ...] = said["run"]
        balanced = said.get("balanced", "web" in run or any(each.to == name for each in routes))
        health = merged(self._data.get("health", {}), said.get("health", {}))
        if not balanced:
            # Nobody asks a group without targets: its instances are well when their processes have stayed up.
            health.pop("path", None)
        plain = {key: said[key] for key in PLAIN if key in said}
        return Group(
            name=name,
            run=run,
            instances=self._instances((*path, "instances"), said.get("instances", {})),
            memory_bytes=said.get("memory"),
            health=Health(**health),
            balanced=balanced,
            after=after,
            breaker=self._breaker((*path, "breaker"), said.get("breaker", {})),
            hooks=Hooks(
                **{key: self._hook((*path, "hooks", key), each) for key, each in said.get("hooks", {}).items()}
            ),
            deploy=self._deploy((*path, "deploy"), said["deploy"]) if "deploy" in said else None,
            **plain,
        )

    def _deploy(self, path: Path, said: Data) -> Deploy:
        return platform_deploy.deploy(merged(self._data.get("deploy", {}), said), path, self._note)

    def _breaker(self, path: Path, said: Data) -> Breaker:
        found = Breaker(**said)
        if found.longest >= found.window:
            self._note(path, f"expected longest < window, found {_text(found.longest)} and {_text(found.window)}")
        return found

    def _hook(self, path: Path, said: Data) -> Hook:
        if ("command" in said) == ("url" in said):
            self._note(path, "expected either command or url")
        return Hook(**said)

    def _instances(self, path: Path, said: Mapping[str, int]) -> Instances:
        desired = said.get("desired", max(1, said.get("min", 1)))
        least, most = said.get("min", min(1, desired)), said.get("max", max(10, desired))
        if not least <= desired <= most:
            self._note(path, f"expected min ≤ desired ≤ max, found {least}, {desired}, {most}")
        return Instances(min=least, desired=desired, max=most)

    def _redirect(self, said: Data) -> str | None:
        redirect: str | None = said.get("redirect")
        path: Path = ("environments", self._environment, "redirect")
        if redirect is not None and "tls" not in said:
            self._notes.add(path, "sends plain HTTP on to HTTPS, which needs tls = { certificate, key } beside it")
        elif redirect is not None and redirect == said.get("listen"):
            self._notes.add(path, f"is {redirect}, where HTTPS listens; plain HTTP needs an address of its own")
        return redirect


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Data:
    """Both, without changing either: what `above` says wins, tables merge, arrays are replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def check_several(platform: PlatformFile, notes: Notes) -> None:
    """What can be wrong only beside other apps, or with where an app's code is."""
    names = [each.name for each in platform.apps]
    for entry in platform.apps:
        if entry.ref is not None and not entry.remote:
            notes.add(("apps", entry.name, "ref"), f"goes with a git URL; the source here is {entry.source}")
    layers: list[tuple[Path, Data]] = [((), platform.data)]
    for name, said in platform.data.get("environments", {}).items():
        layers.append((("environments", name), said))
        for app in said.get("apps", {}):
            if app not in names:
                notes.add(("environments", name, "apps", app), f'no app "{app}"{instead(app, names)}')
    for path, said in layers:
        for section, what in (("groups", "group"), ("processes", "process type")) if len(names) > 1 else ():
            for name in said.get(section, {}):
                where = ".".join(str(each) for each in (*path, "apps", names[0], section, name))
                notes.add((*path, section, name), f"a {what} belongs to an app: [{where}]")


def _text(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}s"


def _mode(environment: str) -> Mode:
    if environment == "review" or environment.startswith("review-"):
        return "review"
    return "production" if environment == "production" else "staging"
