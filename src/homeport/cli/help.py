"""`homeport help`: what `--help` says, for whoever types it the other way round."""

import click

from homeport.cli import candidates, options, output
from homeport.cli.commands import unknown


@click.command(
    "help",
    epilog=options.example("homeport help", "homeport help deploy", "homeport help release diff", see="completion"),
)
@click.argument("words", nargs=-1, metavar="[COMMAND]...", shell_complete=candidates.commands)
@options.as_json
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """Show what a command does.

    The same as its --help. Without a command: all that there are.
    """
    found = context.find_root()
    for word in words:
        group = found.command
        child = group.get_command(found, word) if isinstance(group, click.Group) else None
        if child is None:
            raise unknown(found, word)
        found = click.Context(child, info_name=word, parent=found)
    text = found.get_help()
    if as_json:
        output.emit({"command": found.command_path, "help": text})
    else:
        click.echo(text)
