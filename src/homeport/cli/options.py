"""Options that many commands share. Used as decorators by every noun."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from homeport.cli import candidates
from homeport.errors import NoStore, NotUp

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON; its fields are stable.")
environment = click.option(
    "-e",
    "--environment",
    metavar="NAME",
    shell_complete=candidates.environments,
    help="Environment, or platform/environment. Default: the platform's only one, else its `default`.",
)
directory = click.option(
    "-C",
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The app's directory; homeport.toml is looked for from there upwards. Default: the current one.",
)
watch = click.option("-w", "--watch", "watching", is_flag=True, help="Show it anew every second, until Ctrl-C.")
exit_code = click.option("--exit-code", is_flag=True, help="Exit with 10 where something differs, with 0 where not.")
app = click.option(
    "-a", "--app", metavar="APP", shell_complete=candidates.apps, help="App, where the platform has several."
)
over_freeze = click.option(
    "--override-freeze",
    "over_freeze",
    metavar="WHY",
    help="Deploy although the environment is frozen; why is kept with the deployment.",
)
by_file = click.option("--dirty", is_flag=True, help="Take the work tree as it is, with what isn't committed.")
tarball = click.option(
    "--from",
    "tarball",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="TARBALL",
    help="Take the code from a tar archive.",
)


def common(function: F) -> F:
    """-e, -C and --json. What the command then does, it does for that environment's engine."""

    @functools.wraps(function)
    def settled(*words: Any, **said: Any) -> Any:
        from homeport.cli import hint, place  # with all that asks a daemon: commands on stacks need none

        hint.speak_of(said.get("environment"))
        place.choose(said["directory"], said.get("environment"))
        try:
            return function(*words, **said)
        except (NotUp, NoStore) as error:
            from homeport.cli import remote

            raise remote.explained(error) from error

    decorated = environment(directory(as_json(settled)))
    return cast(F, decorated)


def example(*lines: str, codes: Mapping[int, str] | None = None, see: str = "") -> str:
    """Text below a command's help. `codes`: exit codes that mean something special here, beside 0 for done. `see`:
    other commands, separated by commas."""
    found = ["\b\n" + ("Examples:" if len(lines) > 1 else "Example:") + "".join(f"\n  {line}" for line in lines)]
    if codes:
        found.append("\b\nExit codes:" + "".join(f"\n  {code:<3}  {text}" for code, text in codes.items()))
    if see:
        found.append("See also: " + ", ".join(f"homeport {each.strip()}" for each in see.split(",")))
    return "\n\n".join(found)
