"""A group of commands in which a slip of the pen is understood. Used by `main`, and by every noun that has commands of
its own."""

from typing import Any

import click

from homeport.errors import Invalid


class Commands(click.Group):
    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise unknown(ctx, args[0]) from error


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
