"""Which file of an app declares its dependencies, what it names, and what else goes into installing them.
Called by plan.detect and, for the key of the dependency layer, by releases."""

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from homeport.errors import Invalid
from homeport.plan.node import LOCKS

REQUIREMENTS = (
    "requirements.txt",
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements-production.txt",
    "requirements-prod.txt",
    "requirements/base.txt",
)
NODE = (*LOCKS, "package.json")
"""What Node dependencies come from: a lock before the list."""

_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)(?:[ \t]*=[ \t]*|[ \t]*)(.+)")
_EDITABLE = re.compile(r"(?:-e|--editable)(?:[ \t]*=[ \t]*|[ \t]+)(.+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LOCAL = re.compile(
    r"""(?:[\w.-]+[ \t]*(?:\[[^\]]*\])?[ \t]*@[ \t]*)?   # name @
        (?:file:(?://)?)?
        ((?:\.{1,2}|[\w.-]+(?=/))(?:/[^\s;#\[]*)?)         # ./path, path/to, .
        (?=[\s;\[]|$)""",
    re.VERBOSE,
)
_ARCHIVE = re.compile(r"[^\s:@;]+\.(?:whl|tar\.gz|zip)(?=\s|;|$)")
_PACKED = (".tgz", ".tar.gz")
"""Packages that package.json may name by their path: `file:vendor/x.tgz`."""
_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")


def manifest(files: Mapping[str, str]) -> str | None:
    """The file that Python dependencies come from: a lock before a list before a project's declaration."""
    if "uv.lock" in files and "pyproject.toml" in files:
        return "uv.lock"
    for name in REQUIREMENTS:
        if name in files:
            return name
    others = [name for name in sorted(files) if re.fullmatch(r"requirements[^/]*\.txt", name)]
    if len(others) == 1:
        return others[0]
    if "pyproject.toml" in files:
        project = _toml(files, "pyproject.toml")
        if "project" in project or "poetry" in project.get("tool", {}):
            return "pyproject.toml"
    return None


def package_names(files: Mapping[str, str], entry: str | None) -> frozenset[str]:
    """Normalised names of the packages that `entry` asks for; with the extra for "fastapi[standard]"."""
    if entry is None:
        return frozenset()
    if entry in ("uv.lock", "pyproject.toml"):
        # Not what the lock holds: a server that only came along with a development tool wouldn't be installed.
        declared = _toml(files, "pyproject.toml")
        poetry = declared.get("tool", {}).get("poetry", {}).get("dependencies", {})
        lines = [*declared.get("project", {}).get("dependencies", []), *poetry]
    else:
        lines = [line for path in inputs_of(files, entry) if path in files for line in requirement_lines(files[path])]
    names: set[str] = set()
    for line in lines:
        if match := _NAME.match(str(line)):
            name = re.sub(r"[-_.]+", "-", match[0]).lower()
            extras = re.match(r"[ \t]*\[([^\]]*)\]", str(line)[match.end() :])
            names |= {name} | {f"{name}[{extra.strip()}]" for extra in (extras[1].split(",") if extras else [])}
    return frozenset(names)


def inputs_of(files: Mapping[str, str], entry: str) -> tuple[str, ...]:
    """Every path of the repository whose content decides what installing `entry` gives, `entry` first, sorted else:
    files, and directories of local packages ("." for the whole). For requirements, each `-r` and `-c` file, through
    all levels. `files`: path → text of what could be included, at best the whole tree, read when asked for. Raises
    `Invalid` for an included file that isn't there."""
    if entry == "uv.lock":
        found = {*_present(files, ".", _METADATA), *_uv_sources(files)}
    elif entry == "pyproject.toml":
        found = {*_present(files, ".", _METADATA), *_dynamic(files)}
    elif entry in NODE:
        # those below the top belong to workspaces, or to packages that are named by their path
        own = (each for each in files if "node_modules" not in each.split("/"))
        found = {each for each in own if posixpath.basename(each) in (*NODE, ".npmrc") or each.endswith(_PACKED)}
    else:
        found = set()
        _follow(files, entry, "", found)
    return (entry, *sorted(found - {entry}))


def requirement_lines(text: str) -> Iterator[str]:
    """The lines of a requirements file, continued ones joined, without comments, blanks and empty ones."""
    for line in re.sub(r"\\\r?\n", " ", text.removeprefix("\ufeff")).splitlines():
        if stripped := re.sub(r"(?:^|\s)#.*", "", line).strip():
            yield stripped


def _follow(files: Mapping[str, str], path: str, why: str, found: set[str]) -> None:
    if path in found:
        return
    if path not in files:
        raise Invalid(f"{why}, which isn't in the repository" if why else f"{path} isn't in the repository")
    found.add(path)
    directory = posixpath.dirname(path)
    for line in requirement_lines(files[path]):
        if match := _INCLUDE.fullmatch(line):
            target = match[1].strip().strip("\"'")
            if "://" not in target:
                _follow(files, _inside(directory, target, path), f"{path} includes {target}", found)
        else:
            found |= _local(files, line, path)


def _local(files: Mapping[str, str], line: str, path: str) -> set[str]:
    """What a line that names something in the repository needs. pip takes such paths from where it is started."""
    if match := _EDITABLE.fullmatch(line):
        target = re.sub(r"\[[^\]]*\]$", "", match[1].strip())
        return set() if "://" in target else set(_present(files, _inside("", target, path), _METADATA))
    if match := _LOCAL.match(line):
        return {_inside("", match[1], path)}
    if match := _ARCHIVE.match(line):
        return {_inside("", match[0], path)}
    return set()


def _inside(directory: str, target: str, path: str) -> str:
    inner = posixpath.normpath(posixpath.join(directory, target))
    if inner.startswith(("../", "/")) or inner == "..":
        raise Invalid(f"{path} names {target}, which lies outside the repository")
    return inner


def _present(files: Mapping[str, str], directory: str, names: tuple[str, ...]) -> tuple[str, ...]:
    paths = (posixpath.normpath(posixpath.join(directory, name)) for name in names)
    return tuple(path for path in paths if path in files)


def _uv_sources(files: Mapping[str, str]) -> Iterator[str]:
    for package in _toml(files, "uv.lock").get("package", []):
        source: dict[str, Any] = package.get("source", {})
        for kind in ("editable", "virtual", "directory", "path"):
            if (target := source.get(kind)) and target != ".":
                inner = _inside("", str(target), "uv.lock")
                yield from _present(files, inner, _METADATA) if kind in ("editable", "virtual") else (inner,)


def _dynamic(files: Mapping[str, str]) -> Iterator[str]:
    """Requirements files that setuptools reads for `dynamic = ["dependencies"]`."""
    dynamic = _toml(files, "pyproject.toml").get("tool", {}).get("setuptools", {}).get("dynamic", {})
    named = dynamic.get("dependencies", {}).get("file", [])
    for name in [named] if isinstance(named, str) else named:
        yield from inputs_of(files, _inside("", str(name), "pyproject.toml"))


def _toml(files: Mapping[str, str], path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(files[path])
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"{path} isn't valid TOML", details=(f"{path}: {error}",)) from error
