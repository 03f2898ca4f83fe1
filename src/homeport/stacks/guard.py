"""AWS CloudFormation Guard on compiled templates: its program where there is one, else its library from PyPI. Called by
`check`."""

import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from homeport.errors import Invalid, Unavailable
from homeport.model.finding import Finding
from homeport.plan.stack import template
from homeport.stacks.lint import Compiled, run, write

PROGRAM, LIBRARY = "cfn-guard", "cfn_guard_rs"


def guard(rules: Path, shown: str, templates: list[Compiled]) -> list[Finding]:
    """What Guard says against templates by a file of its rules, which errors call `shown`. Raises `Unavailable` where
    it isn't installed, `Invalid` for rules that it can't read, `Failed` where it fails."""
    program = shutil.which(PROGRAM)
    if program is None and find_spec(LIBRARY) is None:
        hint = "pip install cfn-guard-rs   # or put cfn-guard on the PATH"
        raise Unavailable(f"{shown} is for cfn-guard, which isn't installed", hint=hint)
    found: list[Finding] = []
    for each in templates:
        body = template.parse(each.text, each.file).body
        said = _library(rules, shown, body) if program is None else _program(program, rules, body)
        found += [
            Finding(stack=each.stack, file=each.file, rule=f"guard/{rule or rules.stem}", message=message)
            for rule, message in said
        ]
    return found


def _program(program: str, rules: Path, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """One finding for all: its reports differ from version to version, its words are for people."""
    with tempfile.TemporaryDirectory(prefix="homeport-guard-") as directory:
        path = Path(directory, "template.json")
        write(path, template.as_json(body))
        answer = run((program, "validate", "--rules", str(rules), "--data", str(path), "--show-summary", "fail"))
        if answer.returncode != 0:
            yield "", " ".join((answer.stdout or answer.stderr).split())[:500]


def _library(rules: Path, shown: str, body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    import msgspec
    from cfn_guard_rs import cfn_guard_rs as library

    try:
        text = rules.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"can't read {shown}: {error}") from error
    try:
        report = msgspec.json.decode(library.run_checks_rs(template.as_json(body), text, False))
    except (library.CfnGuardParseError, library.CfnGuardMissingValue) as error:
        raise Invalid(f"{shown}: {error}") from error
    for each in report["not_compliant"]:
        yield from _clauses(each, "")


def _clauses(node: Any, rule: str) -> Iterator[tuple[str, str]]:
    """(rule, what it found where) of each check that failed; the name is the outermost rule's."""
    match node:
        case {"Rule": {"name": str() as name, "checks": checks}}:
            yield from _clauses(checks, rule or name)
        case {"Clause": dict() as kinds}:
            for clause in kinds.values():
                said = (clause.get("messages") or {}).get("custom_message") or " ".join(clause["context"].split())
                where = _place(clause.get("check"))
                yield rule, f"{where}: {said}" if where else said
        case dict():
            for each in node.values():
                yield from _clauses(each, rule)
        case list():
            for each in node:
                yield from _clauses(each, rule)


def _place(node: Any) -> str:
    """The first path in it, without the slash in front; empty: there is none."""
    match node:
        case {"path": str() as path} if path:
            return path.removeprefix("/")
        case dict():
            return next((found for each in node.values() if (found := _place(each))), "")
    return ""
