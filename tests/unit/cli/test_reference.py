"""The page of commands says what the commands say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_page_is_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts/reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert (ROOT / "docs/reference/commands.md").read_text() == reference.text(), "run python scripts/reference.py"


def test_page_of_exit_codes_has_every_kind_of_error() -> None:
    from homeport.errors import BY_KIND, CHANGES_EXIT_CODE

    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    for kind, error in BY_KIND.items():
        assert f"| {error.exit_code} | `{kind}` |" in page
    assert f"| {CHANGES_EXIT_CODE} |" in page
