"""How every command ends: exit codes, errors in words and as JSON, pipes that close."""

import os
import subprocess
import sys

import click
import pytest

from homeport.cli import main as program
from homeport.errors import BY_KIND, Unavailable
from tests.unit.cli.command import Shell


@pytest.mark.parametrize("kind", BY_KIND)
def test_an_error_ends_with_its_code_and_its_words(kind: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    error = BY_KIND[kind]("it broke", hint="homeport status", details=("line one", "line\x1b[2J two"))

    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setitem(program.COMMANDS, "ps", f"{__name__}:broken")
    monkeypatch.setattr(program.Lazy, "get_command", lambda *_: broken)
    found = shell("ps")
    assert found.code == error.exit_code
    assert found.out == ""
    assert found.err == "error: it broke\n  line one\n  line\\x1b[2J two\n→ homeport status\n"


def test_with_json_an_error_is_one_document(shell: Shell) -> None:
    found = shell("ps", "-e", "shop/staging", "--json")
    assert found.code == Unavailable.exit_code
    assert found.err == ""
    assert found.document["error"]["kind"] == "unavailable"
    assert found.document["error"]["hint"].startswith("homeport up")


def test_a_slip_of_the_pen_gets_the_nearest_command(shell: Shell) -> None:
    found = shell("stauts")
    assert (found.code, found.err) == (2, "error: no command 'stauts'\n→ homeport status\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("config lst", "error: no command 'lst' in homeport config\n→ homeport config list\n"),
        ("config xyz", "error: no command 'xyz' in homeport config; there is diff, list, set, unset\n"),
        ("stack paln", "error: no command 'paln' in homeport stack\n→ homeport stack plan\n"),
        ("help deploj", "error: no command 'deploj'\n→ homeport deploy\n"),
        ("help config xyz", "error: no command 'xyz' in homeport config"),
        ("help ps xyz", "error: no command 'xyz' in homeport ps"),
        ("deploy --relase r1", "No such option '--relase'. Did you mean '--release'?"),
        ("engine run2", "error: no command 'run2' in homeport engine; there is install, logs, restart"),
    ],
)
def test_so_does_one_in_a_noun_an_option_or_a_question(shell: Shell, typed: str, said: str) -> None:
    found = shell(*typed.split())
    assert found.code == 2
    assert said in found.err


@pytest.mark.parametrize("words", [(), ("ps",), ("release", "diff"), ("stack", "plan")])
def test_help_is_what_the_command_says_of_itself(shell: Shell, words: tuple[str, ...]) -> None:
    asked = shell("help", *words)
    assert (asked.code, asked.out) == (0, shell(*words, "--help").out)
    assert asked.out.startswith("Usage: homeport")
    assert shell("help", *words, "--json").document["help"] + "\n" == asked.out


@pytest.mark.parametrize("words", [("ps", "--nothing"), ("scale",), ("logs", "-n", "many"), ("scale", "web")])
def test_a_wrong_command_line_is_exit_code_2_with_a_hint(shell: Shell, words: tuple[str, ...]) -> None:
    found = shell(*words)
    assert found.code == 2
    assert found.err.startswith("error: ")


def test_what_nobody_foresaw_is_a_bug_to_report(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("never seen")

    monkeypatch.setattr(program.Lazy, "get_command", lambda *_: broken)
    found = shell("ps")
    assert found.code == 70
    assert "RuntimeError: never seen" in found.err
    assert "Traceback" not in found.err
    monkeypatch.setenv("HOMEPORT_DEBUG", "1")
    assert "Traceback" in shell("ps").err


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        (sys.executable, "-m", "homeport", "--help"), stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_ps_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom homeport.cli.main import run\nrun(['ps', '-e', 'shop/staging'])\n"
        "print([each for each in ('litestar', 'uvicorn', 'obstore', 'zstandard', 'rich', 'pyrage', 'asyncio')"
        " if each in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_script_and_what_it_asks(shell: Shell, shell_name: str) -> None:
    found = shell("completion", shell_name)
    assert found.code == 0
    assert "_HOMEPORT_COMPLETE" in found.out


def test_completion_completes_commands() -> None:
    environ = {**os.environ, "_HOMEPORT_COMPLETE": "bash_complete", "COMP_WORDS": "homeport dep", "COMP_CWORD": "1"}
    done = subprocess.run((sys.executable, "-m", "homeport"), env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,deploy", "plain,deployment"]


def test_a_question_to_the_engine_imports_little(shell: Shell) -> None:
    """What takes long to import is for commands that need it: `ps` is typed again and again."""
    (shell.directory / "homeport.toml").write_text('app = "shop"\n')
    program = "import sys; from homeport.cli.main import run; run(['ps']); print(*sys.modules)"
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True)
    assert "the engine isn't running" in done.stderr
    heavy = {"http.client", "ssl", "asyncio", "rich", "litestar", "subprocess", "homeport.plan.platform", "obstore"}
    assert heavy & set(done.stdout.split()) == set()
