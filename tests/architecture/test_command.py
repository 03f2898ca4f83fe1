"""Every command explains itself, and the documents name only commands that are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[2]


def commands() -> dict[str, click.Command]:
    """Full name without `homeport` → command; groups are in it too."""
    from homeport.cli.main import cli

    def walk(command: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(command, info_name=name.rpartition(" ")[2] or "homeport", parent=parent)
        yield name, command
        if isinstance(command, click.Group):
            for each in command.list_commands(context):
                child = command.get_command(context, each)
                assert child is not None
                yield from walk(child, f"{name} {each}".strip(), context)

    return {name: command for name, command in walk(cli, "", None) if name}


def help_text(name: str, command: click.Command, terminal_width: int | None = None) -> str:
    return command.get_help(click.Context(command, info_name=f"homeport {name}", terminal_width=terminal_width))


def test_every_help_fits_a_terminal_of_80_columns() -> None:
    wide = {
        line
        for name, command in commands().items()
        for line in help_text(name, command, terminal_width=78).splitlines()
        if len(line) > 80
    }
    assert wide == set()


def test_the_commands_of_the_main_job_are_there() -> None:
    wanted = "init up down ps status deploy rollback scale logs events doctor open release deployment config engine"
    assert set(wanted.split()) <= set(commands())


def test_every_command_shows_an_example() -> None:
    without = [
        name
        for name, command in commands().items()
        if not isinstance(command, click.Group)
        and f"homeport {name}" not in re.sub(r"Usage:.*?\n\n", "", help_text(name, command), flags=re.DOTALL)
    ]
    assert without == []


def test_see_also_leads_somewhere() -> None:
    known = commands()
    for name, command in known.items():
        if isinstance(command, click.Group) or command.hidden or name.startswith("stack "):
            continue
        _, found, also = help_text(name, command).partition("See also: ")
        assert found, name
        names = [" ".join(each.split()).removeprefix("homeport ") for each in also.split(",")]
        assert name not in names
        assert set(names) <= set(known), name


def test_every_command_is_in_a_section_of_the_help() -> None:
    from homeport.cli.main import cli

    text = help_text("", cli)
    assert [name for name in commands() if " " not in name and f"\n  {name} " not in text] == []


def test_every_command_has_json() -> None:
    without = [
        name
        for name, command in commands().items()
        if name != "completion"  # prints a shell's own script
        and not isinstance(command, click.Group)
        and not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert without == []


def documents() -> list[Path]:
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_document_names_only_commands_that_exist(path: Path) -> None:
    known = commands()
    text = path.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", text)
    for line in lines:
        found = re.match(r"(?:\$ )?(?:\.venv/bin/)?homeport ([a-z]+)(?: ([a-z]+))?", line)
        if not found:
            continue
        first, second = found.groups()
        assert first in known, f"{path.name}: no such command: {line}"
        if isinstance(known[first], click.Group) and second:
            assert f"{first} {second}" in known, f"{path.name}: no such command: {line}"
