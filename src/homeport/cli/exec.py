"""`homeport exec`: a command inside a live instance."""

import shlex
from pathlib import Path

import click

from homeport.cli import candidates, options, place, session
from homeport.errors import Invalid


@click.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
    epilog=options.example(
        "homeport exec web-1",
        "homeport exec web-1 -- ps aux",
        "homeport exec web-1 'ls -t | head -3'",
        "homeport exec --process worker jobs-2 -- env",
        codes={124: "the time limit was reached", 127: "the command isn't there"},
        see="run, ps",
    ),
)
@click.argument("instance", shell_complete=candidates.live_instances)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--process",
    metavar="TYPE",
    shell_complete=candidates.processes,
    help="Whose environment it gets. Default: the one that serves.",
)
@click.option("--timeout", metavar="TIME", help="Ended after so long, such as 10m. Default: never.")
@options.common
def exec_(
    environment: str | None,
    directory: Path,
    as_json: bool,
    instance: str,
    command: tuple[str, ...],
    process: str | None,
    timeout: str | None,
) -> int:
    """Run a command inside a live instance.

    It sees what the instance's processes see, with their rights and no more. Default: bash. The instance isn't
    changed; all that the command has started ends with it. One word is a line for bash, terminal and exit code are as
    with `homeport run`.
    """
    from homeport.ports.session import Asked
    from homeport.wiring import engine

    if command[:1] != ("--",) and "".join(command[:1]).startswith("-"):
        end = command.index("--") if "--" in command else len(command)
        better = shlex.join(("homeport", "exec", *command[:end], instance, *command[end:]))
        raise Invalid(f"no command is called {command[0]}: options come before the instance", hint=better)
    where = place.environment_id(directory, environment, place.client())
    words = command[command[:1] == ("--",) :]
    argv = session.argv(words) if words else ("bash",)
    asked = Asked(
        argv=argv, shown=session.shown(words or argv), by=place.person(directory), timeout=session.time_limit(timeout)
    )
    ended = engine.sessions(place.home()).exec(
        where, asked, instance=instance, process_type=process, streams=session.streams(as_json=as_json)
    )
    return session.show(ended, as_json=as_json)
