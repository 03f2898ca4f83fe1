"""Documents: links lead somewhere, the change log is kept."""

import re
from pathlib import Path

import pytest

from homeport.plan import platform
from homeport.plan.platform import static_of
from homeport.plan.procfile import parse as parse_procfile
from homeport.plan.static import with_web

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        *(ROOT / "tests").rglob("*.md"),
    ]
)
APPS = sorted([*ROOT.glob("examples/*/homeport.toml"), *ROOT.glob("tests/apps/*/homeport.toml")])


def anchors(path: Path) -> set[str]:
    """Those that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name}: {link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{path.name}: {target.name} has no heading #{anchor}"


def test_change_log_has_a_place_for_what_comes() -> None:
    assert re.search(r"^## \[?Unreleased\]?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_index_leads_to_every_document() -> None:
    index = (ROOT / "docs/index.md").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".toml")]
    assert [str(page) for page in pages if str(page) != "index.md" and f"({page})" not in index] == []


@pytest.mark.parametrize("path", APPS, ids=lambda path: path.parent.name)
def test_apps_that_we_ship_resolve(path: Path) -> None:
    file = platform.parse(path.read_text())
    for app in file.apps:
        declared = path.parent / app.source / "Procfile"
        procfile = parse_procfile(declared.read_text()) if declared.exists() else None
        if static_of(file, app.name):
            procfile = with_web(procfile)
        assert procfile
        resolved = platform.resolve(file, environment="staging", app=app.name, procfile=procfile)
        assert {process for group in resolved.groups for process in group.run} == set(procfile.processes)
