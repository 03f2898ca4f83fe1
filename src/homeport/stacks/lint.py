"""cfn-lint on compiled templates, as the program that it is: importing it takes seconds. Called by `check`."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from homeport.errors import Failed, Unavailable
from homeport.model.finding import Finding, Level
from homeport.system.effect import effect

LEVELS = {"Error": Level.ERROR, "Warning": Level.WARNING, "Informational": Level.NOTE}
FOUND = 2 | 4 | 8
"""Bits of cfn-lint's exit code that say it found something; any other means that it failed itself."""
CFN_LINT = (sys.executable, "-c", "import sys; from cfnlint.runner import main; sys.exit(main())")
OURS = "W3002"
"""It says that a local path needs packaging, which is done here."""
SECONDS = 600


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A template to look at. `written`: the lines are those of `file`."""

    stack: str
    region: str
    file: str
    text: str
    written: bool


def lint(templates: list[Compiled]) -> list[Finding]:
    """What cfn-lint finds. Raises `Unavailable` where it isn't installed, `Failed` where it fails."""
    if find_spec("cfnlint") is None:
        raise Unavailable("cfn-lint isn't installed", hint="pip install 'homeport[aws]'")
    found: list[Finding] = []
    for region in sorted({each.region for each in templates}):
        found += _lint_region(region, [each for each in templates if each.region == region])
    return found


def _lint_region(region: str, templates: list[Compiled]) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="homeport-lint-") as directory:
        by_text: dict[str, list[Compiled]] = {}
        for each in templates:
            by_text.setdefault(each.text, []).append(each)
        files: dict[str, list[Compiled]] = {}
        for number, (text, several) in enumerate(by_text.items()):
            path = Path(directory, f"{number}.template")
            write(path, text)
            files[str(path)] = several
        answer = run(
            (*CFN_LINT, "--format", "json", "--ignore-checks", OURS, "--regions", region, "--template", *files)
        )
        if answer.returncode & ~FOUND:
            said = tuple((answer.stderr or answer.stdout).strip().splitlines()[-5:])
            raise Failed(f"cfn-lint ended with {answer.returncode}", details=said)
        try:
            said_all = msgspec.json.decode(answer.stdout or "[]")
        except msgspec.DecodeError as error:
            raise Failed(f"cfn-lint's answer can't be read: {error}") from error
        return [_finding(said, each) for said in said_all for each in files.get(said["Filename"], ())]


def _finding(said: Mapping[str, Any], compiled: Compiled) -> Finding:
    start = said["Location"]["Start"]
    path = "/".join(str(each) for each in said["Location"].get("Path") or ())
    message = said["Message"] if compiled.written or not path else f"{path}: {said['Message']}"
    return Finding(
        stack=compiled.stack,
        file=compiled.file,
        line=start["LineNumber"] if compiled.written else 0,
        column=start["ColumnNumber"] if compiled.written else 0,
        level=LEVELS.get(said["Level"], Level.WARNING),
        rule=f"cfn-lint/{said['Rule']['Id']}",
        message=message,
    )


@effect("stack_check.write")
def write(path: Path, text: str) -> None:
    path.write_text(text)


@effect("stack_check.run")
def run(argv: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{argv[0]}: {error}") from error
