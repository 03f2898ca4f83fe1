"""The page of commands says what the commands say."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_page_is_what_the_script_writes() -> None:
    script = ROOT / "scripts/reference.py"
    done = subprocess.run((sys.executable, str(script), "--check"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "python scripts/reference.py"


def test_page_of_exit_codes_has_every_kind_of_error() -> None:
    from homeport.errors import BY_KIND, CHANGES_EXIT_CODE

    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    for kind, error in BY_KIND.items():
        assert f"| {error.exit_code} | `{kind}` |" in page
    assert f"| {CHANGES_EXIT_CODE} |" in page


def test_page_of_output_has_every_key() -> None:
    from homeport.cli.follow import Outcome
    from homeport.console import views
    from homeport.model.deployment import Evidence
    from homeport.model.event import Event
    from homeport.model.release import Release
    from homeport.ports.engine import LogLine

    internal = ("JournalView",)  # between the engine and its client
    printed = [each for name, each in vars(views).items() if name.endswith("View") and name not in internal]
    pages = "".join((ROOT / "docs/reference" / each).read_text() for each in ("output.md", "retention.md"))
    for struct in (*printed, views.InstanceList, Outcome, Evidence, Event, Release, LogLine):
        left_out = [each for each in struct.__struct_fields__ if f"`{each}`" not in pages]
        assert left_out == [], struct.__name__


def test_page_of_output_has_every_command() -> None:
    from homeport.cli.main import COMMANDS

    page = (ROOT / "docs/reference/output.md").read_text()
    assert [each for each in COMMANDS if not re.search(rf"^\|.*`{each}\b.*\|", page, re.MULTILINE)] == []
