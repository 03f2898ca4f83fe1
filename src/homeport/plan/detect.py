"""What an app is, from the few of its files that tell; and the homeport.toml that `homeport init` writes from it.
Called by releases (build) and cli (init, up).
"""

import posixpath
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct

from homeport.plan.dependency import NODE, inputs_of, manifest, package_names, start_script
from homeport.plan.formation import group_name
from homeport.plan.framework import FrameworkName, framework
from homeport.plan.interpreter import Interpreter, choose_python, wanted_python
from homeport.plan.platform_value import LONGEST_NAME, name_problem
from homeport.plan.procfile import Procfile

__all__ = [
    "WANTED",
    "Detected",
    "Interpreter",
    "app_name",
    "choose_python",
    "detect",
    "init_text",
    "inputs_of",
    "is_wanted",
]

Language = Literal["python", "node", "static"]

WANTED = (
    *("*requirements*.txt", "requirements/*", "*constraints*.txt", "*.in"),
    *("uv.lock", "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "poetry.lock", "environment.yml"),
    *(".python-version", "runtime.txt", ".tool-versions"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc", "yarn.lock", "pnpm-lock.yaml"),
    *("manage.py", "*/manage.py", "*wsgi.py", "*asgi.py", "*urls.py", "*settings.py", "*settings/*.py"),
    *("app.py", "main.py", "application.py", "server.py", "api.py", "web.py", "*/app.py", "*/main.py", "*/__init__.py"),
    *("index.html", "public/index.html"),
)
"""Patterns (fnmatch, `*` crosses directories) of the paths whose texts `detect` looks at."""

_UNREAD = {
    "poetry.lock": "poetry export -o requirements.txt",
    "Pipfile": "pipenv requirements > requirements.txt",
    "environment.yml": "pip freeze > requirements.txt",
    "yarn.lock": "npm install --package-lock-only",
    "pnpm-lock.yaml": "npm install --package-lock-only",
}
_DEPTH = 6


class Detected(Struct, frozen=True, kw_only=True):
    """`dependencies`: the file that they are installed from, None: there are none. `python`: the version asked for and
    `python_source`, the file that asks (None, ""). `procfile`: the web process where it is certain, else empty.
    `notices`: sentences for people."""

    language: Language | None = None
    dependencies: str | None = None
    python: str | None = None
    python_source: str = ""
    framework: FrameworkName | None = None
    health_path: str | None = None
    procfile: dict[str, str] = {}
    collectstatic: bool = False
    notices: tuple[str, ...] = ()


def is_wanted(path: str) -> bool:
    """Whether `detect` wants the text of `path` (relative to the app's directory)."""
    return path.count("/") < _DEPTH and any(fnmatchcase(path, pattern) for pattern in WANTED)


def detect(files: Mapping[str, str]) -> Detected:
    """What the app is. `files`: path → text, at least of every path that `is_wanted`. Raises `Invalid` for a
    pyproject.toml or package.json that can't be read, and a requirements file that includes one that isn't there."""
    entry = manifest(files)
    managed = any(posixpath.basename(path) == "manage.py" for path in files)
    if entry or managed or any(name in files for name in ("setup.py", "Pipfile", "environment.yml")):
        return _python(files, entry)
    if "package.json" in files:
        start = start_script(files)
        return Detected(
            language="node",
            dependencies=next(name for name in NODE if name in files),
            procfile={"web": "npm start"} if start else {},
            notices=_unread(files, "package-lock.json", ("yarn.lock", "pnpm-lock.yaml")),
        )
    if "index.html" in files or "public/index.html" in files:
        return Detected(language="static")
    return Detected()


def _python(files: Mapping[str, str], entry: str | None) -> Detected:
    wanted, source = wanted_python(files)
    sources = {path: files[path] for path in files if path.endswith(".py") and is_wanted(path)}
    found = framework(sources, package_names(files, entry))
    notices = _unread(files, entry, ("poetry.lock", "Pipfile", "environment.yml"))
    if entry is None and not notices:
        notices = ("Python, but no requirements.txt, uv.lock or pyproject.toml at the top: nothing will be installed",)
    if found and found.notice:
        notices = (*notices, found.notice)
    return Detected(
        language="python",
        dependencies=entry,
        python=wanted,
        python_source=source,
        framework=found.name if found else None,
        health_path=found.health_path if found else None,
        procfile={"web": found.web} if found and found.web else {},
        collectstatic=bool(found and found.collectstatic),
        notices=notices,
    )


def _unread(files: Mapping[str, str], entry: str | None, candidates: tuple[str, ...]) -> tuple[str, ...]:
    """Sentences for lock files that nothing here can read, where none that can be read is there."""
    if entry is not None and entry in files and entry not in ("pyproject.toml", "package.json"):
        return ()
    return tuple(f"{each} isn't read; make a file that is: {_UNREAD[each]}" for each in candidates if each in files)


# --- homeport init ---------------------------------------------------------------------------------------------------


def app_name(text: str) -> str:
    """A valid name near to `text`, such as that of a directory: "My_App" → "my-app"; "app" where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_NAME].strip("-") or "app"


def init_text(app: str, procfile: Procfile, detected: Detected, *, accept: str | None = None) -> str:
    """The text of a first homeport.toml: short, commented, each process type a group. `accept`: the Python that could
    be accepted in place of the one asked for, where that isn't on this machine."""
    blocks = [f'# What else this file can say: docs/reference/homeport.toml in Homeport.\napp = "{app}"']
    if accept:
        asked = f"{detected.python_source} asks for Python {detected.python}, which isn't on this machine"
        blocks.append(f'# {asked}. To accept {accept}:\n# [build]\n# python = "{accept}"')
    if detected.health_path:
        blocks.append(f'[health]\npath = "{detected.health_path}"    # found in the code; a 2xx answer is healthy')
    else:
        blocks.append('# [health]\n# path = "/healthz"    # without it: healthy when the port accepts connections')
    taken: set[str] = set()
    for type_ in procfile.processes:
        name = _group(type_, taken)
        taken.add(name)
        blocks.append(f'[groups.{name}]\nrun = ["{type_}"]\ninstances = 1')
    blocks.append('[environments.staging]\nengine = "local"')
    return "\n\n".join(blocks) + "\n"


def _group(process_type: str, taken: set[str]) -> str:
    name = group_name(process_type)
    if not name_problem(name) and name not in taken:
        return name
    return next(each for number in range(1, len(taken) + 2) if (each := f"group-{number}") not in taken)
