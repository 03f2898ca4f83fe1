"""What `run` and `exec` share: whose terminal, what is said about the end, the exit code."""

import os
import shlex
import sys
from datetime import timedelta

from homeport.cli import output
from homeport.console.derive import session_view
from homeport.errors import Invalid
from homeport.ports.session import Ending, Streams


def streams(*, as_json: bool) -> Streams:
    """Ours. With JSON, standard output is the document's: the command's goes to standard error."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    sys.stdout.flush()
    return Streams(0, 2 if as_json else 1, 2)


def argv(words: tuple[str, ...]) -> tuple[str, ...]:
    """The program and its arguments. One word is a line for bash, as in the Procfile."""
    return ("/bin/bash", "-c", *words) if len(words) == 1 else words


def shown(words: tuple[str, ...]) -> str:
    """The same for people."""
    return words[0] if len(words) == 1 else shlex.join(words)


def time_limit(text: str | None) -> timedelta | None:
    """Raises `Invalid`."""
    if text is None:
        return None
    from homeport.plan.quantity import parse_duration

    limit = parse_duration(text, "--timeout")
    if not limit:
        raise Invalid(f"--timeout {text}: expected more than nothing", hint="leave it out for no limit")
    return limit


def show(ended: Ending, *, as_json: bool) -> int:
    """The exit code, for `homeport` to end with."""
    if as_json:
        output.emit(session_view(ended.session))
    elif ended.reason:
        print(f"{ended.session.id}: {output.printable(ended.reason)}", file=sys.stderr)
    return ended.exit_code
