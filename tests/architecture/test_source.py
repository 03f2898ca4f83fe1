"""The house rules that no linter knows: rooms, sizes, names, nothing of one machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "src/homeport").rglob("*.py"))
PYTHON = sorted(path for room in ("src", "tests", "examples", "bench") for path in (ROOT / room).rglob("*.py"))
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".cfg", ".html", ".css", ".js", ".sh", ""}
MOST_LINES = 599


def texts() -> list[Path]:
    """Every text file of the project; found by directory, so that it works in a tarball too."""
    inside = [
        path
        for room in ("src", "tests", "examples", "bench", "docs", "scripts", ".ci")
        for path in (ROOT / room).rglob("*")
    ]
    return sorted(
        path
        for path in [*ROOT.glob("*"), *inside]
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    )


def test_imports_run_downward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT / "src"))
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short(path: Path) -> None:
    count = len(path.read_text().splitlines())
    assert count <= MOST_LINES, f"{path.relative_to(ROOT)} has {count} lines, at most {MOST_LINES}: split it by noun"


def test_no_module_is_named_after_nothing() -> None:
    banned = re.compile(r"(^|_)(util|utils|helper|helpers|common|manager|managers|misc)(_|$)")
    assert [str(path) for path in PYTHON if banned.search(path.stem)] == []


def test_subpackages_have_empty_inits() -> None:
    inits = [path for path in MODULES if path.name == "__init__.py" and path.parent.name != "homeport"]
    assert [str(path) for path in inits if path.read_text().strip()] == []


def test_every_module_says_what_lives_there() -> None:
    silent = [path for path in MODULES if path.name != "__init__.py" and not path.read_text().startswith('"""')]
    assert [str(path.relative_to(ROOT)) for path in silent] == []


def test_no_path_of_the_machine_it_was_written_on() -> None:
    here = {str(ROOT), sys.prefix} - {"/usr", "/"}
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in texts()
        for place in here
        if place in path.read_text(errors="replace")
    ]
    assert found == []


def test_no_test_is_skipped() -> None:
    banned = re.compile(r"pytest\.(" + "|".join(("skip", "xfail", "importorskip")) + r")\b|mark\.(skip|skipif|xfail)\b")
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert [str(path.relative_to(ROOT)) for path in tests if banned.search(path.read_text())] == []


@pytest.mark.parametrize("path", ["scripts/packages", "scripts/bare", "scripts/bare-inside", ".ci/run"])
def test_script_parses(path: str) -> None:
    done = subprocess.run(("bash", "-n", str(ROOT / path)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
