"""homeport.toml: from its text to what one app comes to in one environment. Called by cli, releases and wiring.

Every key is in docs/reference/homeport.toml. What a single value must look like is in `platform_check`, what
values mean together in `formation`.
"""

import re
import tomllib
from collections.abc import Iterator

from homeport.errors import Invalid
from homeport.model.platform import Place, Resolved
from homeport.plan.formation import (
    AppEntry,
    Build,
    Dependencies,
    PlatformFile,
    Resolving,
    check_several,
    group_name,
    merged,
)
from homeport.plan.mistake import instead, refuse
from homeport.plan.platform_check import PLATFORM, Data, Notes
from homeport.plan.platform_name import ONLY_ENVIRONMENT, check_known
from homeport.plan.platform_order import REST
from homeport.plan.platform_route import check_clashes
from homeport.plan.procfile import Procfile
from homeport.plan.static import Static
from homeport.plan.toml_line import lines

__all__ = [
    "AppEntry",
    "Build",
    "Dependencies",
    "PlatformFile",
    "build_of",
    "group_name",
    "parse",
    "place_of",
    "resolve",
    "static_of",
    "unused_processes",
]

_WHERE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def parse(text: str, *, file: str = "homeport.toml") -> PlatformFile:
    """The platform that `text` describes. Raises `Invalid` with every mistake in `details`, as
    `homeport.toml:14: groups.web.instanecs: unknown key, did you mean "instances"?`."""
    text = text.removeprefix("\ufeff")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(text, file, error) from error
    where = lines(text)
    notes = Notes(where)
    data: Data = PLATFORM(raw, (), notes)
    apps = tuple(_apps(data, notes))
    platform = PlatformFile(
        file=file,
        name=_platform_name(data, apps, notes),
        apps=apps,
        environments=tuple(data.get("environments", {})) or (ONLY_ENVIRONMENT,),
        default=data.get("default"),
        build=_build(data.get("build", {})),
        data=data,
        lines=where,
    )
    if platform.default is not None and platform.default not in platform.environments:
        near = instead(platform.default, platform.environments)
        notes.add(("default",), f'no environment "{platform.default}"{near}')
    check_several(platform, notes)
    for environment in platform.environments:
        # Without an app too, so that one mistake doesn't hide the others.
        found = [Resolving(platform, environment, app, None, notes) for app in [each.name for each in apps] or [""]]
        for each in found:
            each.result()
        check_clashes([each.table for each in found], notes)
    refuse(file, notes.mistakes)
    return platform


def resolve(platform: PlatformFile, *, environment: str, app: str, procfile: Procfile) -> Resolved:
    """What `app` comes to in `environment`. Raises `Invalid` with every mistake that only shows beside the Procfile,
    `NotFound` for an app or environment that the file doesn't have."""
    check_known("environment", environment, platform.environments, platform.file)
    check_known("app", app, [each.name for each in platform.apps], platform.file)
    notes = Notes(platform.lines)
    resolved = Resolving(platform, environment, app, procfile, notes).result()
    refuse(platform.file, notes.mistakes)
    return resolved


def place_of(platform: PlatformFile, environment: str) -> Place:
    """The environment, whatever runs in it. Raises `NotFound`."""
    check_known("environment", environment, platform.environments, platform.file)
    return Resolving(platform, environment, platform.apps[0].name, None, Notes(platform.lines)).place()


def build_of(platform: PlatformFile, app: str) -> Build:
    """[build], and over it what [apps.<app>.build] says."""
    own = platform.data.get("apps", {}).get(app, {}).get("build", {})
    return _build(merged(platform.data.get("build", {}), own))


def static_of(platform: PlatformFile, app: str) -> Static | None:
    """[static], and over it what [apps.<app>.static] says; None: neither is there."""
    layers = (platform.data, platform.data.get("apps", {}).get(app, {}))
    said = [each["static"] for each in layers if "static" in each]
    return Static(**{key: value for each in said for key, value in each.items()}) if said else None


def unused_processes(platform: PlatformFile, procfile: Procfile, app: str | None = None) -> tuple[str, ...]:
    """Process types of the app (None: the file's only one) that no group runs, in any environment: for a notice. Empty
    where the file has no groups of it, since every process type is a group of its own then."""
    app = platform.apps[0].name if app is None else app
    above = [platform.data, platform.data.get("apps", {}).get(app, {})]
    if not any("groups" in each for each in above):
        return ()
    environments = platform.data.get("environments", {}).values()
    tables = [*above, *environments, *(each.get("apps", {}).get(app, {}) for each in environments)]
    used = {
        type_ for each in tables for name, group in each.get("groups", {}).items() for type_ in group.get("run", [name])
    }
    return tuple(each for each in procfile.processes if each not in used) if REST not in used else ()


def _apps(data: Data, notes: Notes) -> Iterator[AppEntry]:
    if "app" in data and "apps" in data:
        notes.add(("app",), "stands beside [apps]; one of them names the apps")
    elif not data.get("apps") and "app" not in data and not notes.mistakes:
        notes.add(("app",), 'missing; write app = "shop" above the first [section]')
    if "app" in data:
        yield AppEntry(name=data["app"])
    for name, said in data.get("apps", {}).items():
        yield AppEntry(name=name, source=said.get("source", "."), ref=said.get("ref"))


def _platform_name(data: Data, apps: tuple[AppEntry, ...], notes: Notes) -> str:
    if "app" not in data and len(apps) > 1 and "platform" not in data:
        notes.add(("platform",), 'missing; a file with several apps needs a name: platform = "shops"')
    name = data.get("platform", apps[0].name if apps else "")
    return str(name)


def _build(said: Data) -> Build:
    plain = {key: value for key, value in said.items() if key != "dependencies"}
    given: Data | None = said.get("dependencies")
    if given is None:
        return Build(**plain)
    if len(given) < 2:
        return Build(**plain)
    return Build(dependencies=Dependencies(command=given["command"], paths=tuple(given["paths"])), **plain)


def _not_toml(text: str, file: str, error: tomllib.TOMLDecodeError) -> Invalid:
    """tomllib of Python 3.11 tells the place only in its message."""
    match = _WHERE.search(str(error))
    reason = str(error)[: match.start()] if match else str(error)
    reason = "this key is there twice" if reason == "Cannot overwrite a value" else reason
    line, column = (match[1], match[2]) if match and match[1] else (str(text.count("\n") + 1), "1")
    return Invalid(f"{file} isn't valid TOML", details=(f"{file}:{line}:{column}: {reason}",))
