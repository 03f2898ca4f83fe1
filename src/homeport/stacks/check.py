"""All that can be said against stacks without asking any cloud. Called by `stack check`.

Rules of the project's own lie in `stacks/rules`: Python files with functions `check_…(template, stack)` that yield what
is wrong, and cfn-guard's files (`.guard`).
"""

import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from homeport.errors import HomeportError, Invalid
from homeport.model.finding import Finding, Level
from homeport.model.located import Located, Tagged
from homeport.model.stack import Stack, Unknown, Value
from homeport.plan.stack import parameter
from homeport.plan.stack.database import WHY, databases
from homeport.plan.stack.setting import text_of
from homeport.stacks.compose import Composed, Composer, given_by
from homeport.stacks.guard import guard
from homeport.stacks.lint import Compiled, lint
from homeport.stacks.package import packaged
from homeport.stacks.project import Project
from homeport.stacks.remote import Remote

RULES = "rules"
PLACE = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+)(:(?P<column>\d+))?: (?P<rest>.+)", re.DOTALL)
MATERIAL = (".yaml", ".yml", ".json", ".template")
"""Files of these kinds that nobody reads are worth a word."""
FILE_TAGS = ("file", "encrypted_file")


class Checker:
    """Of one project. `linting` False: without cfn-lint."""

    def __init__(self, project: Project, remote: Remote | None = None, *, linting: bool = True) -> None:
        self.project = project
        self.composer = Composer(project.root, project.root.name, remote)
        self.linting = linting

    def check(self, ids: Iterable[str]) -> list[Finding]:
        """Sorted by stack and place. Raises `Unavailable` or `Failed` where a tool is missing or fails."""
        chosen = tuple(ids)
        loaded = self.project.load(chosen)
        found = [of_error(id, error) for id, error in loaded.problems.items()]
        compiled: list[Compiled] = []
        bodies: list[tuple[Stack, Composed]] = []
        for id, stack in loaded.stacks.items():
            if stack.obsolete:
                continue
            try:
                composed = self.composer.compose(stack.template, given_by(stack))
                packaged(composed, stack)
                found += self._of_stack(stack, composed)
            except HomeportError as error:
                found.append(of_error(id, error))
                continue
            bodies.append((stack, composed))
            compiled += _compiled(stack, composed)
        if self.linting and compiled:
            found += lint(compiled)
        found += self._rules(bodies, compiled)
        if set(chosen) == set(self.project.entries) and not loaded.problems:
            found += self._unused(loaded.stacks.values())
        return sorted(set(found))

    def _of_stack(self, stack: Stack, composed: Composed) -> Iterator[Finding]:
        known = parameter.declared(composed.body)
        try:
            parameter.settle(stack.id, known, {name: _literal(node) for name, node in stack.parameters.items()})
        except HomeportError as error:
            for text in error.details or (error.message.removeprefix(f"{stack.id}: "),):
                yield Finding(stack=stack.id, file=stack.files[-1], rule="homeport/parameter", message=text)
        if not stack.protected:
            for name in databases(composed.body):
                yield Finding(
                    stack=stack.id,
                    file=composed.file,
                    level=Level.WARNING,
                    rule="homeport/database",
                    message=f"{name}: {WHY}",
                )
        if not stack.target.account:
            yield Finding(
                stack=stack.id,
                file=stack.files[-1],
                level=Level.WARNING,
                rule="homeport/account",
                message="it states no account, so that it can't be applied to any",
            )

    def _rules(self, bodies: list[tuple[Stack, Composed]], compiled: list[Compiled]) -> Iterator[Finding]:
        directory = self.project.root / RULES
        for path in sorted(directory.glob("*")) if directory.is_dir() else ():
            shown = f"{self.project.root.name}/{RULES}/{path.name}"
            if path.suffix == ".guard":
                yield from guard(path, shown, compiled)
            elif path.suffix == ".py":
                module = _module(path, shown)
                for stack, composed in bodies:
                    yield from _own(module, shown, stack, composed)

    def _unused(self, stacks: Iterable[Stack]) -> Iterator[Finding]:
        """Files that no stack has to do with."""
        used = {f"{self.project.root.name}/{each}" for each in self.composer.files}
        used |= self.composer.sources.files
        for stack in stacks:
            used |= {f"{self.project.root.name}/{each}" for each in _paths(stack)}
            used |= set(stack.files)
        used |= {f"{self.project.root.name}/{each}" for each in self.project.files}
        for path in sorted(self.project.root.rglob("*")):
            name = f"{self.project.root.name}/{path.relative_to(self.project.root).as_posix()}"
            hidden = any(part.startswith(".") for part in path.relative_to(self.project.root).parts)
            if path.suffix in MATERIAL and path.is_file() and not hidden and name not in used:
                yield Finding(
                    stack="", file=name, level=Level.WARNING, rule="homeport/unused", message="no stack uses this file"
                )


def of_error(id: str, error: HomeportError) -> Finding:
    """What a message says, with the place that it begins with."""
    place = PLACE.match(error.message)
    if place is None:
        return Finding(stack=id, rule=f"homeport/{error.kind}", message=error.message)
    return Finding(
        stack=id,
        file=place["file"],
        line=int(place["line"]),
        column=int(place["column"] or 0),
        rule=f"homeport/{error.kind}",
        message=place["rest"],
    )


def _literal(node: Located) -> Value:
    """A value as far as it is known without asking anybody."""
    match node.value:
        case Tagged():
            return Unknown(("a resolver",))
        case list() as items:
            return [_literal(each) for each in items]
        case dict():
            raise Invalid(f"{node.at}: a parameter's value can't be a mapping")
        case None:
            return ""
    return text_of(node)


def _compiled(stack: Stack, composed: Composed) -> Iterator[Compiled]:
    yield Compiled(
        stack=stack.id,
        region=stack.target.region,
        file=composed.file,
        text=composed.text,
        written=composed.written,
    )
    for each in composed.nested.values():
        yield from _compiled(stack, each)


def _paths(stack: Stack) -> Iterator[str]:
    if stack.policy:
        yield stack.policy
    for node in (*stack.parameters.values(), *stack.tags.values()):
        yield from _read_by(node)


def _read_by(node: Located) -> Iterator[str]:
    match node.value:
        case Tagged(tag=tag, content=content):
            if tag in FILE_TAGS and isinstance(content.value, str):
                yield content.text
            yield from _read_by(content)
        case dict() as entries:
            for each in entries.values():
                yield from _read_by(each)
        case list() as items:
            for each in items:
                yield from _read_by(each)


def _module(path: Path, shown: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"homeport_rules_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise Invalid(f"{shown}: {type(error).__name__}: {error}") from error
    return module


def _own(module: ModuleType, shown: str, stack: Stack, composed: Composed) -> Iterator[Finding]:
    for name, function in sorted(vars(module).items()):
        if not name.startswith("check_") or not callable(function):
            continue
        try:
            said = [str(each) for each in function(composed.body, stack) or ()]
        except Exception as error:
            raise Invalid(f"{shown}: {name}: {type(error).__name__}: {error}") from error
        rule = f"{Path(shown).stem}/{name.removeprefix('check_')}"
        for text in said:
            yield Finding(stack=stack.id, file=composed.file, rule=rule, message=text)
