"""What package.json says, which Node an app wants, and whether the machine's will do. Called by plan.detect and
releases."""

import json
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from homeport.errors import Invalid
from homeport.plan.interpreter import Interpreter

LOCKS = ("package-lock.json", "npm-shrinkwrap.json")
FOREIGN_LOCKS = {
    "yarn.lock": ("yarn", "yarn install --frozen-lockfile"),
    "pnpm-lock.yaml": ("pnpm", "pnpm install --frozen-lockfile"),
    "bun.lock": ("bun", "bun install --frozen-lockfile"),
    "bun.lockb": ("bun", "bun install --frozen-lockfile"),
}
"""Locks that npm doesn't install from → the program that does, its command."""
OWN_INSTALL_SCRIPTS = ("preinstall", "install", "postinstall", "prepublish", "prepare")
"""Of the app itself, in the order in which npm runs them after an install."""
PAGE_MAKERS = {
    "react-scripts": ("react-scripts", "build"),
    "@11ty/eleventy": ("eleventy", "_site"),
    "@vue/cli-service": ("vue-cli-service", "dist"),
    "astro": ("astro", "dist"),
    "parcel": ("parcel", "dist"),
    "vite": ("vite", "dist"),
}
"""Tools that make pages → their command, and where they put the pages, unless told otherwise ([static] says so then).
What they start themselves is for development."""

_WISHES = (
    (".nvmrc", re.compile(r"^[ \t]*([^\s#]+)", re.MULTILINE)),
    (".node-version", re.compile(r"^[ \t]*(?:node-)?([^\s#]+)", re.MULTILINE)),
    (".tool-versions", re.compile(r"^[ \t]*node(?:js)?[ \t]+([^\s#]+)", re.MULTILINE)),
)
_ANY = ("node", "stable", "current", "latest", "system", "lts", "lts/*", "*", "x", "")
_NAMED = {"argon": 4, "boron": 6, "carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14, "gallium": 16}
_NAMED |= {"hydrogen": 18, "iron": 20, "jod": 22, "krypton": 24}
_PLAIN = re.compile(r"v?([0-9]+(?:\.(?:[0-9]+|[xX*])){0,2})")
_HYPHEN = re.compile(r"v?([0-9.xX*]+)[ \t]+-[ \t]+v?([0-9.xX*]+)")
_CLAUSE = re.compile(r"(>=|<=|>|<|=|\^|~>?)?[ \t]*v?([0-9]+(?:\.(?:[0-9]+|[xX*])){0,2})(?:[-+][0-9A-Za-z.-]+)?")


class Package(Struct, frozen=True, kw_only=True):
    """Of package.json, what matters here. `own_install_scripts`: names of those it has, in npm's order."""

    start: str | None = None
    build: str | None = None
    own_install_scripts: tuple[str, ...] = ()
    dependencies: frozenset[str] = frozenset()
    development: frozenset[str] = frozenset()
    engine: str | None = None

    @property
    def pages(self) -> str | None:
        """Where the build puts pages that need no server of their own, by the tool that makes them; None: it has one,
        or it isn't known."""
        named = self.dependencies | self.development
        command, directory = next((made for tool, made in PAGE_MAKERS.items() if tool in named), (None, None))
        serves = self.start and command and not re.search(rf"(^|[\s/]){re.escape(command)}(\s|$)", self.start)
        return None if serves or not self.build else directory


def package(files: Mapping[str, str]) -> Package | None:
    """The package of the app's top directory, None without one. Raises `Invalid` for a file that isn't JSON."""
    if "package.json" not in files:
        return None
    try:
        said = json.loads(files["package.json"].removeprefix("\ufeff"))
    except ValueError as error:
        raise Invalid("package.json isn't valid JSON", details=(f"package.json: {error}",)) from error
    scripts = {name: text for name, text in _table(said, "scripts").items() if isinstance(text, str) and text.strip()}
    engine = _table(said, "engines").get("node")
    return Package(
        start=scripts.get("start"),
        build=scripts.get("build"),
        own_install_scripts=tuple(name for name in OWN_INSTALL_SCRIPTS if name in scripts),
        dependencies=frozenset((*_table(said, "dependencies"), *_table(said, "optionalDependencies"))),
        development=frozenset(_table(said, "devDependencies")),
        engine=engine.strip() if isinstance(engine, str) else None,
    )


def _table(said: Any, key: str) -> dict[str, Any]:
    found = said.get(key) if isinstance(said, dict) else None
    return found if isinstance(found, dict) else {}


def lock(files: Mapping[str, str]) -> str | None:
    """The lock that npm installs from; None: there is none."""
    return next((name for name in LOCKS if name in files), None)


def foreign_lock(files: Mapping[str, str]) -> str | None:
    """A lock that npm doesn't install from, where there is none that it does."""
    return None if lock(files) else next((name for name in FOREIGN_LOCKS if name in files), None)


def refuse_foreign(name: str) -> Invalid:
    """For an app whose versions stand in a lock that isn't npm's."""
    program, command = FOREIGN_LOCKS[name]
    script = f'[build]\ndependencies = {{ command = "{command}", paths = ["node_modules"] }}\ncommand = "{program} run'
    return Invalid(
        f"the versions of this Node app stand in {name}, and npm, which installs it, can't read that",
        hint=f"make a lock that it reads, beside it: npm install --package-lock-only; or, where {program} is installed "
        f'below /usr, write in homeport.toml:\n{script} build"',
    )


# --- versions --------------------------------------------------------------------------------------------------------


def wanted_node(files: Mapping[str, str], found: Package | None) -> tuple[str | None, str]:
    """The version that an app asks for ("20", "v20.11.1", "lts/iron", a range as "^18 || >=20", or whatever else stands
    there), and the file that says so; (None, "") where none does."""
    for file, pattern in _WISHES:
        lines = (line for line in files.get(file, "").splitlines() if not line.lstrip().startswith("#"))
        if (match := pattern.search("\n".join(lines))) and match[1].lower() not in _ANY:
            return match[1], file
    if found and found.engine is not None and found.engine not in _ANY:
        return found.engine, "package.json (engines)"
    return None, ""


def choose_node(wanted: str | None, source: str, here: Interpreter | None) -> str | None:
    """A notice to show, or None, where the machine's Node will do: of a single version the major one counts, of a range
    all. Raises `Invalid` where there is none, or it won't do, with the line that accepts it."""
    if here is None:
        raise Invalid("no Node with npm on this machine to build with", hint="apt-get install nodejs npm")
    if wanted is None:
        return None
    major = here.version.split(".")[0]
    asked = _named_release(wanted)
    if match := _PLAIN.fullmatch(asked):
        parts = [part for part in match[1].split(".") if part.isdecimal()]
        if parts[0] != major:
            raise _refusal(f"{source} asks for Node {wanted}", here)
        same = here.version.split(".")[: len(parts)] == parts
        return None if same else f"{source} asks for Node {wanted}; {here.version} is here and is taken"
    if not _fits(here.version, asked):
        raise _refusal(f"{source} asks for Node {wanted}", here)
    return None


def _named_release(wanted: str) -> str:
    name = wanted.lower().removeprefix("lts/")
    return str(_NAMED[name]) if name in _NAMED else wanted


def _refusal(message: str, here: Interpreter) -> Invalid:
    major = here.version.split(".")[0]
    return Invalid(
        f"{message}; there is {here.version} ({here.path})",
        hint=f'install it below /usr, or accept {major}: node = "{major}" below [build] in homeport.toml',
    )


def _fits(version: str, wanted: str) -> bool:
    """Whether the version is in npm's range."""
    here = _numbers(version)
    return any(_fits_all(here, alternative.strip()) for alternative in wanted.split("||"))


def _fits_all(here: tuple[int, ...], alternative: str) -> bool:
    if match := _HYPHEN.fullmatch(alternative):
        return here >= _numbers(match[1]) and here[: len(_numbers(match[2]))] <= _numbers(match[2])
    clauses = _CLAUSE.findall(alternative)
    if not clauses:
        return alternative in _ANY
    return all(_holds(operator, here, _numbers(other)) for operator, other in clauses)


def _holds(operator: str, here: tuple[int, ...], other: tuple[int, ...]) -> bool:
    start = here[: len(other)]
    match operator:
        case ">=":
            return start >= other
        case "<=":
            return start <= other
        case ">":
            return start > other
        case "<":
            return start < other
        case "^":
            return start >= other and here[0] == other[0]
        case "~" | "~>":
            return start >= other and here[: min(2, len(other))] == other[:2]
    return start == other


def _numbers(version: str) -> tuple[int, ...]:
    """Those that are there: "18.x" → (18,)."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
