"""`homeport version`."""

import click

from homeport import __version__
from homeport.cli import options, output, place
from homeport.errors import HomeportError


@click.command(epilog=options.example("homeport version", "homeport version --json", see="engine status"))
@options.as_json
def version(as_json: bool) -> None:
    """Print versions.

    That of the command, and of the engine if it runs.
    """
    try:
        engine = place.client().daemon().version
    except HomeportError:
        engine = None
    if as_json:
        output.emit({"version": __version__, "engine": engine})
        return
    print(f"homeport {__version__}" + (f", engine {engine}" if engine else ""))
