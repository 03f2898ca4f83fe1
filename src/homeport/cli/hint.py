"""What to type next, for the environment that this command was typed for: whoever made a hint needn't know whether that
is the one that commands mean without `-e`. Called by `output` and by nouns that print hints of their own; told of the
environment by `options.common`.
"""

import re

import click

_said: list[str] = []
"""The environment, as the person named it for this command; empty: they named none."""
NAMED = re.compile(r"homeport((?: [a-z]+)+)")
STATED = re.compile(r" (?:-e|--environment)\b")


def speak_of(environment: str | None) -> None:
    """Hints are for this environment from now on; None: they are right as they are."""
    _said[:] = [environment] if environment else []


def completed(text: str) -> str:
    """The same, with `-e` and the environment in each of Homeport's commands that takes it and lacks it."""
    if not _said or "homeport " not in text:
        return text
    begins = [found.start() for found in NAMED.finditer(text)]
    pieces = [text[start:end] for start, end in zip([0, *begins], [*begins, len(text)], strict=True)]
    return "".join(map(_with_environment, pieces))


def _with_environment(piece: str) -> str:
    """`piece`: one command, and what follows it."""
    found = NAMED.match(piece)
    words = _command(found[1].split()) if found else []
    if not words or STATED.search(piece.partition("#")[0]):
        return piece
    end = len(" ".join(("homeport", *words)))
    return f"{piece[:end]} -e {_said[0]}{piece[end:]}"


def _command(words: list[str]) -> list[str]:
    """Those of the words that are a command with the option; empty: they are none."""
    from homeport.cli.main import cli

    command: click.Command | None = cli
    for count, word in enumerate(words):
        if not isinstance(command, click.Group):
            return words[:count] if _takes_it(command) else []
        command = command.get_command(click.Context(command), word)
    return words if _takes_it(command) else []


def _takes_it(command: click.Command | None) -> bool:
    return command is not None and any("-e" in each.opts for each in command.params)
