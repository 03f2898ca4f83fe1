"""The `homeport` command: finds the command's module when it is called, and turns errors into words and exit codes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from homeport import __version__
from homeport.cli import hint
from homeport.cli.commands import LazyCommands
from homeport.cli.output import show_error
from homeport.errors import Bug, HomeportError, Invalid
from homeport.system.memory import tidied_seldom

SECTIONS = {
    "Start": {
        "init": "init:init",
        "up": "up:up",
        "doctor": "doctor:doctor",
    },
    "Change what runs": {
        "deploy": "deploy:deploy",
        "promote": "promote:promote",
        "rollback": "rollback:rollback",
        "scale": "scale:scale",
        "config": "config:config",
        "maintenance": "maintenance:maintenance",
        "freeze": "freeze:freeze",
        "unfreeze": "freeze:unfreeze",
        "down": "down:down",
    },
    "Keep it well": {
        "standby": "standby:standby",
        "cycle": "cycle:cycle",
        "breaker": "breaker:breaker",
        "fleet": "fleet:fleet",
        "zone": "zone:zone",
    },
    "Look at it": {
        "ps": "ps:ps",
        "status": "status:status",
        "logs": "logs:logs",
        "events": "events:events",
        "why": "why:why",
        "open": "open:open_",
        "release": "release:release",
        "deployment": "deployment:deployment",
    },
    "Work inside": {
        "run": "run:run",
        "exec": "exec:exec_",
    },
    "This machine": {
        "engine": "engine:engine",
        "gc": "gc:gc",
    },
    "Infrastructure as code": {
        "operator": "operator:operator",
        "simulate": "simulate:simulate",
        "stack": "stack:stack",
    },
    "This program": {
        "help": "help:help_",
        "completion": "completion:completion",
        "version": "version:version",
    },
}
"""What a person wants → name → module of this package, and the command in it."""
COMMANDS = {name: where for section in SECTIONS.values() for name, where in section.items()}


class PipeClosed(Exception):
    """Whoever read our output went away. Not an OSError: click would end with 1 at those."""


@contextmanager
def _pipes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error


class Lazy(LazyCommands):
    where = COMMANDS

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _pipes():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipes():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, COMMANDS))
        room = formatter.width - longest - 6
        for title, names in SECTIONS.items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl(
                    [(name.ljust(longest), each.get_short_help_str(room)) for name, each in found if each is not None]
                )


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="homeport %(version)s")
def cli() -> None:
    """From a git repository to a running, load-balanced environment.

    In the directory of an app with a Procfile: `homeport up`. What a command does: `homeport help deploy`.
    """


def main() -> None:
    """Entry point of the program."""
    tidied_seldom()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code, after everything was printed."""
    before_the_rest = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in before_the_rest
    hint.speak_of(None)
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
    except click.Abort:
        print(file=sys.stderr)  # behind the question
        return 128 + signal.SIGINT
    except KeyboardInterrupt:
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
