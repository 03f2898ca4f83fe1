"""A group of commands in which a slip of the pen is understood. Used by `main`, and by every noun that has commands of
its own."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from homeport.errors import Invalid


class Commands(click.Group):
    """A word that isn't a command is answered with the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise unknown(ctx, args[0]) from error


class LazyCommands(Commands):
    """Imports a command's module when it is asked for. `where`: name → module of this package, and its command."""

    where: Mapping[str, str]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.where)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.where:
            return None
        module, _, attribute = self.where[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"homeport.cli.{module}"), attribute)
        return found


def unknown(context: click.Context, word: str) -> Invalid:
    """What to say of a command that isn't there, in the group of this context."""
    from homeport.plan.mistake import nearest

    group = context.command
    every = group.list_commands(context) if isinstance(group, click.Group) else []
    names = [name for name in every if not _hidden(context, name)]
    near = nearest(word, names)
    hint = f"{context.command_path} {near}" if near else f"{context.command_path} --help"
    there = f"; there is {', '.join(names)}" if names and not near and context.parent else ""
    where = f" in {context.command_path}" if context.parent else ""
    return Invalid(f"no command {word!r}{where}{there}", hint=hint)


def _hidden(context: click.Context, name: str) -> bool:
    group = context.command
    found = group.get_command(context, name) if isinstance(group, click.Group) else None
    return found is None or found.hidden
