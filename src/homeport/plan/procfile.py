"""The Procfile: one process type a line. The dialect is in docs/reference/procfile.md. Called by releases and cli."""

import re

from msgspec import Struct

from homeport.plan.mistake import Mistake, refuse

RELEASE = "release"

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LINE = re.compile(r"([^:]*?)[ \t]*:[ \t]*(.*)", re.DOTALL)
_CONFLICT = re.compile(r"(<{7}|\|{7}|={7}|>{7})( |$)")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Procfile(Struct, frozen=True, kw_only=True):
    """`processes`: process type → command line, in the file's order, without the release task."""

    processes: dict[str, str]
    release: str | None = None


def parse(text: str, *, file: str = "Procfile") -> Procfile:
    """What `text` declares. Raises `Invalid` with every mistake and its line in `details`."""
    commands: dict[str, str] = {}
    first_line: dict[str, int] = {}
    mistakes: list[Mistake] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.removesuffix("\r")
        if not line.strip(" \t") or line.lstrip(" \t").startswith("#"):
            continue
        name, command, problem = _read(line.strip(" \t"))
        if not problem and name in first_line:
            problem = f'process type "{name}" is there twice, first on line {first_line[name]}'
        if problem:
            mistakes.append(Mistake(number, problem))
        if _NAME.fullmatch(name):
            first_line.setdefault(name, number)
            commands.setdefault(name, command)
    release = commands.pop(RELEASE, None)
    if not commands and not mistakes:
        mistakes.append(Mistake(0, "names no process type; write for example `web: gunicorn shop.wsgi`"))
    refuse(file, mistakes)
    return Procfile(processes=commands, release=release)


def _read(line: str) -> tuple[str, str, str]:
    """Name, command, and what is wrong with the line ("" where nothing is)."""
    if _CONFLICT.match(line):
        return "", "", f"a conflict marker of a merge, {_quoted(line)}"
    match = _LINE.fullmatch(line)
    if match is None:
        return "", "", f"expected `name: command`, found no colon in {_quoted(line)}"
    name, rest = match[1], match[2]
    if not _NAME.fullmatch(name):
        return "", "", f"a process type is made of letters, digits, - and _, found {_quoted(name)}"
    command, closed = _without_comment(rest)
    if not command:
        return name, "", f'process type "{name}" has no command'
    if _CONTROL.search(command):
        return name, "", f'the command of "{name}" holds a control character'
    if not closed:
        return name, "", f'a quote in the command of "{name}" isn\'t closed'
    return name, command, ""


def _without_comment(text: str) -> tuple[str, bool]:
    """`text` up to the first `#` that stands at the start or after a blank outside quotes, and whether every quote is
    closed. Quotes nest as in a shell: a `$(` inside double quotes begins anew."""
    open_: list[str] = []
    at, end = 0, len(text)
    while at < end:
        char, inside = text[at], open_[-1] if open_ else ""
        if inside == "'":
            if char == "'":
                open_.pop()
        elif char == "\\":
            at += 1
        elif char == "#" and inside != '"' and (at == 0 or text[at - 1] in " \t"):
            end = at
        else:
            _nest(open_, char, text[at - 1 : at])
        at += 1
    return text[:end].strip(" \t"), not ({"'", '"'} & set(open_))


def _nest(open_: list[str], char: str, before: str) -> None:
    inside = open_[-1] if open_ else ""
    if inside == '"':
        if char == '"':
            open_.pop()
        elif char == "(" and before == "$":
            open_.append("(")
    elif char in "'\"(":
        open_.append(char)
    elif char == ")" and inside == "(":
        open_.pop()


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
