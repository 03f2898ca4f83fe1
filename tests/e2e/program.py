"""Homeport as an ordinary user can start it, also where the checkout lies in a directory of root's."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import msgspec
from msgspec import Struct

import homeport
from tests.e2e.person import ARGV
from tests.e2e.role import as_uid


class Program(Struct, frozen=True, kw_only=True):
    """`argv`: how it is started. `environ`: with what."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]


def program_for(uid: int, directory: Path) -> Program:
    """The installed one if `uid` may read it, else a copy of it and of what it needs below `directory`."""
    source = Path(homeport.__file__).parent
    needed = [source / "errors.py", Path(msgspec.__file__), Path(sys.executable)]
    if os.getuid() != 0 or as_uid(uid, _all_readable, needed):
        return Program(argv=ARGV, environ={})
    copied = directory / "program"
    shutil.copytree(source, copied / "homeport", ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    for each in _needed("homeport"):
        for file in each.files or ():
            # programs (uv) lie beside the packages, in the environment's bin
            target = copied / "bin" / file.name if ".." in file.parts else copied / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)
    python = os.path.realpath(sys.executable)
    return Program(argv=(python, "-m", "homeport"), environ={"PYTHONPATH": str(copied)})


def _all_readable(paths: list[Path]) -> bool:
    return all(os.access(each, os.R_OK) for each in paths)


def _needed(name: str, known: dict[str, Distribution] | None = None) -> list[Distribution]:
    """All that the distribution `name` needs, without itself."""
    seen = {} if known is None else known
    for line in distribution(name).requires or ():
        needed = re.match(r"[A-Za-z0-9._-]+", line)
        if needed is None or "extra ==" in line or needed[0].lower() in seen:
            continue
        try:
            seen[needed[0].lower()] = distribution(needed[0])
        except PackageNotFoundError:
            continue  # for another platform
        _needed(needed[0], seen)
    return list(seen.values())
