#!/usr/bin/env python3
"""Writes docs/reference/commands.md from the commands themselves. A test fails where the two have drifted apart.

`--check`: writes nothing, exit code 1 where the page isn't what would be written.
"""

import sys
from pathlib import Path

import click

from homeport.cli.main import cli

TARGET = Path(__file__).parents[1] / "docs/reference/commands.md"
HEAD = """# Commands

Made by `scripts/reference.py`; don't edit. Exit codes: [exit-codes.md](exit-codes.md).
"""


def text() -> str:
    """The whole page."""
    return HEAD + "".join(_sections(cli, click.Context(cli, info_name="homeport", **cli.context_settings)))


def _sections(command: click.Command, context: click.Context) -> list[str]:
    found = []
    if context.parent is not None:
        body = command.get_help(context).rstrip()
        found.append(f"\n## {context.command_path}\n\n```text\n{body}\n```\n")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, name
            if not child.hidden:
                found += _sections(child, click.Context(child, info_name=name, parent=context, terminal_width=100))
    return found


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text() == text() else 1)
    TARGET.write_text(text())
