"""The `homeport` command: finds the command's module when it is called, and turns errors into words and exit codes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from homeport import __version__
from homeport.cli.output import show_error
from homeport.errors import Bug, HomeportError, Invalid

COMMANDS = {
    "init": "init:init",
    "up": "up:up",
    "deploy": "deploy:deploy",
    "promote": "promote:promote",
    "rollback": "rollback:rollback",
    "ps": "ps:ps",
    "status": "status:status",
    "open": "open:open_",
    "logs": "logs:logs",
    "run": "run:run",
    "exec": "exec:exec_",
    "events": "events:events",
    "scale": "scale:scale",
    "down": "down:down",
    "release": "release:release",
    "deployment": "deployment:deployment",
    "config": "config:config",
    "gc": "gc:gc",
    "engine": "engine:engine",
    "stack": "stack:stack",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
    "version": "version:version",
}
"""Name → module of this package, and the command in it."""


class PipeClosed(Exception):
    """Whoever read our output went away. Not an OSError: click would end with 1 at those."""


@contextmanager
def _pipes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error


class Lazy(click.Group):
    """Imports a command's module when it is asked for."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _pipes():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipes():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f"homeport.cli.{module}"), attribute)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from homeport.plan.mistake import nearest

            near = nearest(args[0], COMMANDS)
            hint = f"homeport {near}" if near else "homeport --help"
            raise Invalid(f"no command {args[0]!r}", hint=hint) from error


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="homeport %(version)s")
def cli() -> None:
    """From a git repository to a running, load-balanced environment.

    In the directory of an app with a Procfile: `homeport up`.
    """


def main() -> None:
    """Entry point of the program."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code, after everything was printed."""
    before_the_rest = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in before_the_rest
    try:
        code = cli.main(arguments, prog_name="homeport", standalone_mode=False)
        sys.stdout.flush()
    except HomeportError as error:
        return _refused(error, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "homeport"
        return _refused(Invalid(error.format_message(), hint=f"{where} --help"), as_json=as_json)
    except click.ClickException as error:
        return _refused(Invalid(error.format_message()), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except (BrokenPipeError, PipeClosed):
        return _broken_pipe()
    except Exception as error:  # noqa: BLE001 - the last door: what comes here is a bug of ours
        return _unexpected(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def _refused(error: HomeportError, *, as_json: bool) -> int:
    try:
        show_error(error, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        return _broken_pipe()
    _trace()
    return error.exit_code


def _unexpected(error: Exception, *, as_json: bool) -> int:
    hint = "please report it with what HOMEPORT_DEBUG=1 prints when you do the same again"
    bug = Bug(f"an error of Homeport's own: {type(error).__name__}: {error}", hint=hint)
    return _refused(bug, as_json=as_json)


def _trace() -> None:
    if os.environ.get("HOMEPORT_DEBUG") == "1":
        import traceback  # 5 ms that only this needs

        traceback.print_exc()


def _broken_pipe() -> int:
    """Whoever read us has enough. What is left in the buffer must not complain at the end of the program."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
