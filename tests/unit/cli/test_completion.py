"""Shell completion, asked as bash asks for it."""

import os
import subprocess
import sys

import pytest

from homeport.cli.main import COMMANDS
from tests.unit.cli.command import Shell

FILE = 'app = "shop"\ndefault = "staging"\n[environments.staging]\n[environments.production]\n'


def offered(line: str) -> set[str]:
    """What bash would show after Tab at the end of `line`."""
    words = line.split(" ")
    environ = {
        **os.environ,
        "_HOMEPORT_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    program = (sys.executable, "-c", "import sys; sys.argv[0] = 'homeport'; from homeport.cli.main import main; main()")
    done = subprocess.run(program, env=environ, capture_output=True, text=True, check=True)
    return {each.rpartition(",")[2] for each in done.stdout.splitlines() if each}


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_the_script_names_the_program(shell: Shell, kind: str) -> None:
    assert "_HOMEPORT_COMPLETE" in shell("completion", kind).out


def test_commands_options_and_names_are_offered(shell: Shell) -> None:
    assert offered("homeport ") == set(COMMANDS)
    assert offered("homeport depl") == {"deploy", "deployment"}
    assert "--release" in offered("homeport deploy --")
    (shell.directory / "homeport.toml").write_text(FILE)
    assert offered("homeport ps -e ") == {"staging", "production"}
    assert offered("homeport ps -e pr") == {"production"}


def test_names_that_cannot_be_known_are_not_offered(shell: Shell) -> None:
    assert offered("homeport rollback --to ") == set()
    assert offered("homeport logs --group ") == set()
    (shell.directory / "homeport.toml").write_text("[")
    assert offered("homeport ps -e ") == set()
