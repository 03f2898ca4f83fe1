"""What an app is, from the few of its files that tell; and the homeport.toml that `homeport init` writes from it.
Called by releases (build) and cli (init, up).
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from homeport.plan.dependency import NODE, inputs_of, manifest, package_names
from homeport.plan.formation import group_name
from homeport.plan.framework import FrameworkName, framework
from homeport.plan.interpreter import Interpreter, choose_python, wanted_python
from homeport.plan.node import FOREIGN_LOCKS, Package, foreign_lock, lock, package, wanted_node
from homeport.plan.platform_name import LONGEST_NAME
from homeport.plan.platform_value import name_problem
from homeport.plan.procfile import Procfile
from homeport.plan.static import COMMAND, Static

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
    "procfile_hint",
]

Language = Literal["python", "node", "static"]

WANTED = (
    *("*requirements*.txt", "requirements/*", "*constraints*.txt", "*.in"),
    *("uv.lock", "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "poetry.lock", "environment.yml"),
    *(".python-version", "runtime.txt", ".tool-versions"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", ".npmrc", *FOREIGN_LOCKS),
    *(".nvmrc", ".node-version", "server.js"),
    *("manage.py", "*/manage.py", "*wsgi.py", "*asgi.py", "*urls.py", "*settings.py", "*settings/*.py"),
    *("app.py", "main.py", "application.py", "server.py", "api.py", "web.py", "*/app.py", "*/main.py", "*/__init__.py"),
    *("index.html", "public/index.html"),
)
"""Patterns (fnmatch, `*` crosses directories) of the paths whose texts `detect` looks at."""

_UNREAD = {
    "poetry.lock": "poetry export -o requirements.txt",
    "Pipfile": "pipenv requirements > requirements.txt",
    "environment.yml": "pip freeze > requirements.txt",
}
_DEPTH = 6


class Detected(Struct, frozen=True, kw_only=True):
    """`dependencies`: the file that they are installed from, None: there are none. `python`: the version asked for and
    `python_source`, the file that asks (None, ""); `node` likewise. `package`: package.json, where Node has something
    to do, and `node_dependencies` the file that npm installs from; a Python app may have both. `procfile`: the web
    process where it is certain, else empty. `static`: what it serves, where that is nginx. `notices`: sentences for
    people."""

    language: Language | None = None
    dependencies: str | None = None
    python: str | None = None
    python_source: str = ""
    node: str | None = None
    node_source: str = ""
    package: Package | None = None
    node_dependencies: str | None = None
    framework: FrameworkName | None = None
    health_path: str | None = None
    procfile: dict[str, str] = {}
    static: Static | None = None
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
        return _with_assets(_python(files, entry), files)
    if found := package(files):
        return _node(files, found)
    for directory in ("public", "."):
        if posixpath.normpath(f"{directory}/index.html") in files:
            static = Static(directory=directory)
            return Detected(language="static", static=static, health_path="/", procfile={"web": COMMAND})
    return Detected()


def _node(files: Mapping[str, str], found: Package) -> Detected:
    wanted, source = wanted_node(files, found)
    entry = next(name for name in NODE if name in files)
    static = Static(directory=found.pages) if found.pages and "server.js" not in files else None
    # without a start script, npm starts server.js
    starts = not static and (bool(found.start) or "server.js" in files)
    notices: tuple[str, ...] = ()
    if other := foreign_lock(files):
        notices = (f"{other} isn't read; make a lock that is: npm install --package-lock-only",)
    elif not lock(files) and (found.dependencies or found.development):
        notices = (
            "package.json has no lock: it gets what is newest when it is installed; npm install --package-lock-only",
        )
    if not starts and not static:
        notices = (*notices, "package.json has no start script: add one, or write a Procfile, or [static]")
    return Detected(
        language="node",
        dependencies=entry,
        node=wanted,
        node_source=source,
        package=found,
        node_dependencies=entry,
        procfile={"web": "npm start"} if starts else {"web": COMMAND} if static else {},
        static=static,
        notices=notices,
    )


def _with_assets(python: Detected, files: Mapping[str, str]) -> Detected:
    """A Python app that Node has something to do for: to build what a browser gets, or to bring packages for it. Tools
    of its developers alone are nobody's business here."""
    found = package(files)
    if not found or not (found.build or found.dependencies):
        return python
    entry = lock(files)
    if entry is None:
        what = "its build script isn't run" if found.build else "what it asks for isn't installed"
        notice = f"package.json has no package-lock.json, so {what}; make one: npm install --package-lock-only"
        return replace(python, notices=(*python.notices, notice))
    wanted, source = wanted_node(files, found)
    return replace(python, node=wanted, node_source=source, package=found, node_dependencies=entry)


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
    if entry is not None and entry in files and entry != "pyproject.toml":
        return ()
    return tuple(f"{each} isn't read; make a file that is: {_UNREAD[each]}" for each in candidates if each in files)


def procfile_hint(found: Detected) -> str:
    """What to type where there is no Procfile and no web process is certain."""
    example = "node server.js" if found.language == "node" else "gunicorn --bind 0.0.0.0:$PORT shop:app"
    return (
        f"write one, for example: echo 'web: {example}' > Procfile; for pages that a generator makes, a homeport.toml "
        "with [build] command and [static]"
    )


# --- homeport init ---------------------------------------------------------------------------------------------------


def app_name(text: str) -> str:
    """A valid name near to `text`, such as that of a directory: "My_App" → "my-app"; "app" where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_NAME].strip("-") or "app"


_FALLBACK = '# fallback = "index.html"    # for an app that routes in the browser: the page for every other path'


class Accept(Struct, frozen=True, kw_only=True):
    """An interpreter of this machine that could be taken in place of the one asked for. `key`: that of [build]."""

    key: Literal["python", "node"]
    version: str
    why: str


def init_text(app: str, procfile: Procfile, detected: Detected, *, accept: Sequence[Accept] = ()) -> str:
    """The text of a first homeport.toml: short, commented, each process type a group."""
    blocks = [f'# What else this file can say: docs/reference/homeport.toml in Homeport.\napp = "{app}"']
    if accept:
        said = [f"# {each.why}. To accept {each.version}:" for each in accept]
        blocks.append("\n".join((*said, "# [build]", *(f'# {each.key} = "{each.version}"' for each in accept))))
    if detected.static:
        blocks.append(f'[static]\ndirectory = "{detected.static.directory}"    # served by nginx\n{_FALLBACK}')
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
