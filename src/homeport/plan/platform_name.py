"""The names in homeport.toml and nothing else of it: all that a command about something that runs needs to know, read
in a tenth of the time that the whole takes. A file that is just being edited doesn't hide what runs. Called by cli.
"""

import re
import tomllib
from collections.abc import Collection
from typing import Any, Protocol

from msgspec import Struct

from homeport.errors import Invalid, NotFound
from homeport.plan.mistake import nearest

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
"""Of apps, groups and environments: they become host names."""
LONGEST_NAME = 40
ONLY_ENVIRONMENT = "staging"
"""Of a file without [environments]."""


class Named(Protocol):
    """`default` None: the file says none."""

    @property
    def file(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def environments(self) -> tuple[str, ...]: ...
    @property
    def default(self) -> str | None: ...


class Names(Struct, frozen=True, kw_only=True):
    """Those of the platform, its apps, its environments."""

    file: str
    name: str
    apps: tuple[str, ...]
    environments: tuple[str, ...]
    default: str | None


def names(text: str, *, file: str) -> Names | None:
    """As `plan.platform.parse` finds them. None where they aren't plain to see: then that says what is wrong."""
    try:
        raw = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError:
        return None
    tables, there = raw.get("apps", {}), raw.get("environments", {})
    if not isinstance(tables, dict) or not isinstance(there, dict) or ("app" in raw) == bool(tables):
        return None
    apps = tuple(tables) or (raw["app"],)
    name: Any = raw.get("platform", apps[0] if len(apps) == 1 else None)
    environments = tuple(there) or (ONLY_ENVIRONMENT,)
    default = raw.get("default")
    if not all(map(_plain, (name, *apps, *environments))) or (default is not None and default not in environments):
        return None
    return Names(file=file, name=name, apps=apps, environments=environments, default=default)


def _plain(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST_NAME and NAME.fullmatch(name) is not None


def environment_name(platform: Named, asked: str | None) -> str:
    """The environment that a command means: `asked`, else the only one, else the file's `default`. Raises `NotFound`
    for one that isn't there, `Invalid` where none is asked for and several are there without a default."""
    there = platform.environments
    if asked is not None:
        check_known("environment", asked, there, platform.file)
        return asked
    if len(there) == 1:
        return there[0]
    if platform.default is None:
        raise Invalid(
            f"{platform.file} has {len(there)} environments ({listed(there)}) and no default",
            hint=f'say which: -e {there[0]}, or write default = "{there[0]}" above the first [section]',
        )
    return platform.default


def check_known(what: str, name: str, names: Collection[str], file: str) -> None:
    """Raises `NotFound`, saying what there is."""
    if name not in names:
        near = nearest(name, names)
        hint = f"did you mean {near}?" if near else None
        raise NotFound(f'no {what} "{name}" in {file}; there is {listed(names)}', hint=hint)


def listed(names: Collection[str]) -> str:
    return ", ".join(names) or "none"
