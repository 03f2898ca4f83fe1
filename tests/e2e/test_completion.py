"""Tab, in the real shells: the line that a person types comes out with names that exist."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_repository import make_repository
from tests.e2e.person import Person
from tests.e2e.terminal import Terminal

FILE = """app = "plain"
default = "staging"
[health]
path = "/healthz"
interval = "100ms"
[deploy]
bake = "100ms"
[environments.staging]
[environments.production]
"""
PROGRAM = f"""#!/bin/sh
test -n "$_HOMEPORT_COMPLETE" && exec {shlex.quote(sys.executable)} -m homeport
echo "typed:" "$@" "."
"""
SHELLS = {
    "bash": (("bash", "--noprofile", "--norc", "-i"), "source {}"),
    "zsh": (("zsh", "-f", "-i"), "autoload -U compinit; compinit -u -D; source {}"),
    "fish": (("fish", "--no-config", "--interactive"), "source {}"),
}
LINES = {
    "roll\t": "rollback",
    "down --pur\t": "down --purge",
    "help config uns\t": "help config unset",
    "ps -e prod\t": "ps -e production",
    "ps --environment=prod\t": "ps --environment=production",
    "deployment show \t": "deployment show 1",
    "exec w\tls": "exec web-1 ls",
    "scale w\t5": "scale web=5",
}
"""What is typed behind `homeport`, and what it gets: every way in which a shell hands over what is there."""
NAMES = {
    "up --app pl\t": "up --app plain",
    "rollback --to r\t": "rollback --to r1",
    "logs --group w\t": "logs --group web",
    "logs --process w\t": "logs --process web",
    "logs --instance web-\t": "logs --instance web-1",
    "config unset LOG\t": "config unset LOG_LEVEL",
    "config set LOG\tdebug": "config set LOG_LEVEL=debug",
}
"""More names, found in the same way whatever the shell: tried in bash."""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("completion")
    app = make_repository("plain", directory, edits={"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, directory / "home")
    try:
        found("up")
        found("config", "set", "--no-deploy", "LOG_LEVEL=info")
        yield found
    finally:
        found.leave()


@pytest.mark.parametrize("shell", SHELLS)
def test_tab(person: Person, shell: str, tmp_path: Path) -> None:
    script, program = tmp_path / "script", tmp_path / "homeport"
    script.write_text(person("completion", shell))
    program.write_text(PROGRAM)
    program.chmod(0o755)
    argv, source = SHELLS[shell]
    environ = {"PATH": f"{tmp_path}:{person.environ['PATH']}", "HOME": str(tmp_path)}
    terminal = Terminal(Person(person.app, person.home, environ=environ, program=argv))
    try:
        terminal.type(f"{source.format(script)}; echo re''ady\r")
        terminal.until("ready")
        for typed, expected in (LINES | NAMES if shell == "bash" else LINES).items():
            terminal.type(f"homeport {typed}\r")
            assert terminal.until("typed:") is not None
            assert terminal.until(" .").split() == expected.split(), typed
    finally:
        terminal.close()
