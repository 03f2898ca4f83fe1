"""What is printed."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from homeport.cli import output
from homeport.model.deployment import Baking, Ended, Evidence, GroupChange, Started, Verdict
from homeport.plan.words import in_words

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("ID", "N", "WHY"), [("web-1", None, "a\x1bb"), ("x", 10, "")])
    assert capsys.readouterr().out == "ID     N   WHY\nweb-1  -   a\\x1bb\nx      10  -\n"


def test_a_table_fits_a_narrow_terminal() -> None:
    program = """
from homeport.cli.output import table
row = ("web-1", "32767", "a", "in service with r1, since its health check passes")
table(("ID", "PID", "ZONE", "WHY"), [row], spare=("PID", "ZONE"))
"""
    assert _on_a_terminal(program, 34) == ["ID     ZONE  WHY", "web-1  a     in service with r1, …"]
    assert _on_a_terminal(program, 24) == ["ID     WHY", "web-1  in service with …"]
    assert _on_a_terminal(program, 90)[1] == "web-1  32767  a     in service with r1, since its health check passes"


def test_a_table_cuts_what_may_be_cut_but_no_names() -> None:
    program = """
from homeport.cli.output import table
table(("KEY", "VALUE", "FROM"), [("A_LONG_NAME_OF_A_KEY", 40 * "v", "config set #1")], cut=("VALUE",))
"""
    assert _on_a_terminal(program, 60)[1] == f"A_LONG_NAME_OF_A_KEY  {'v' * 22}…  config set #1"
    assert "v" * 40 in _on_a_terminal(program, 90)[1]


def test_a_line_is_wrapped_between_words_at_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "note: one two three four five six https://a.example/quite-a-long-address-to-copy seven"
    program = f"from homeport.cli.output import line; line({text!r})"
    wrapped = _on_a_terminal(program, 40)
    assert wrapped == [
        "note: one two three four five six",
        "  https://a.example/quite-a-long-address-to-copy",
        "  seven",
    ]
    assert _on_a_terminal(program, 20) == [text], "too narrow to do better than the terminal"
    output.line(text)
    assert capsys.readouterr().out == f"{text}\n"


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"CI": "true"}])
def test_a_terminal_that_cannot_or_that_nobody_looks_at_gets_plain_lines(environ: dict[str, str]) -> None:
    program = """
from homeport.cli.output import Progress
with Progress() as progress:
    progress.waiting("a")
    progress.say("b")
"""
    assert _on_a_terminal(program, 40, **environ) == ["  … a", "b"]


def test_what_is_waited_for_is_said_again_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "SAY_AGAIN_SECONDS", 0.0)
    with output.Progress() as progress:
        progress.waiting("a")
        progress.waiting("a")
    assert capsys.readouterr().out == "  … a\n  … a\n"


def test_a_command_that_is_stopped_says_what_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def work(error: BaseException) -> None:
        with output.Progress() as progress:
            progress.goes_on("something else")
            progress.goes_on("deployment 7 goes on", "homeport deployment show 7")
            raise error

    with pytest.raises(KeyboardInterrupt):
        work(KeyboardInterrupt())
    assert capsys.readouterr().err == "stopped: deployment 7 goes on\n→ homeport deployment show 7\n"
    with pytest.raises(ValueError, match="x"):
        work(ValueError("x"))
    assert capsys.readouterr().err == ""


def test_times_are_for_people_at_a_terminal_and_for_programs_else() -> None:
    program = """
from datetime import UTC, datetime, timedelta
from homeport.cli.output import when
now = datetime.now(UTC)
print(len(when(now)), when(datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)))
"""
    assert _on_a_terminal(program, 80, TZ="UTC") == ["8 2026-01-01 12:00:00"]
    assert output.when(NOW) == "2026-01-01T12:00:00.000Z"


def _on_a_terminal(program: str, columns: int, **more: str) -> list[str]:
    terminal, inside = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "CI": "", **more}
    subprocess.run((sys.executable, "-c", program), stdout=inside, env=environ, check=True)
    os.close(inside)
    said = b""
    with suppress(OSError):  # the end, once all is read: what was written comes in pieces
        while True:
            said += os.read(terminal, 65536)
    os.close(terminal)
    return said.decode().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200000, "2 d ago")]
)
def test_how_long_ago(seconds: int, text: str) -> None:
    assert output.ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress() as progress:
        progress.say("begins")
        progress.waiting("a")
        progress.waiting("a")
        progress.waiting("b")
        progress.waiting("")
        progress.say("done")
    assert capsys.readouterr().out == "begins\n  … a\n  … b\ndone\n"


def test_lines_that_pass_stay_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress() as progress:
        progress.passing("    Collecting flask")
        progress.passing("    Collecting flask")
    assert capsys.readouterr().out == "    Collecting flask\n" * 2


def test_on_a_terminal_a_line_that_passes_takes_one_line() -> None:
    long = "begin " + 200 * "x" + " end"
    program = f"""
from homeport.cli.output import Progress
with Progress() as progress:
    progress.passing({long!r})
    progress.say("done")
"""
    said = "\n".join(_on_a_terminal(program, 40))
    assert "begin xxx" in said
    assert "…" in said
    assert " end" not in said
    assert said.rstrip().endswith("done")


def test_quiet_progress_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with output.Progress(quiet=True) as progress:
        progress.say("begins")
        progress.waiting("a")
    assert capsys.readouterr() == ("", "")


def test_a_journal_in_words() -> None:
    groups = (GroupChange(name="web", old_count=2, new_count=3), GroupChange(name="jobs", old_count=0, new_count=1))
    started = Started(
        at=NOW,
        app="shop",
        environment="staging",
        number=7,
        release=3,
        previous=2,
        strategy="replace",
        groups=groups,
        bake=timedelta(seconds=5),
        grace=timedelta(seconds=30),
        task=None,
        by="Ada",
        why="deploy",
    )
    assert in_words(started) == "deployment 7: r3 of shop over r2 in staging (replace: web 2 → 3, jobs 1)"
    assert in_words(Baking(at=NOW, until_at=NOW + timedelta(seconds=5))).endswith("watching for 5 s")
    evidence = Evidence(summary="web-2 ended")
    assert in_words(Ended(at=NOW, verdict=Verdict.FAILED, evidence=evidence)) == "failed: web-2 ended"
