"""The page of commands says what the commands say."""

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
