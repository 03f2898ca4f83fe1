"""cfn-lint has nothing to say against any template that we ship, write or compose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.stacks import skeleton
from homeport.stacks.compose import Composed, Composer, given_by
from homeport.stacks.lint import Compiled, lint
from homeport.stacks.project import Project

ROOT = Path(__file__).parents[3]
COMPOSED = Path(__file__).parent / "composed"
SHIPPED = ROOT / "src/homeport/stacks/shipped"


def compiled(name: str, composed: Composed, region: str) -> Iterator[Compiled]:
    yield Compiled(stack=name, region=region, file=composed.file, text=composed.text, written=composed.written)
    for inner, each in composed.nested.items():
        yield from compiled(f"{name}/{inner}", each, region)


def of_project(root: Path) -> Iterator[Compiled]:
    project, composer = Project(root), Composer(root, root.name)
    for id in project.entries:
        stack = project.stack(id)
        yield from compiled(id, composer.compose(stack.template, given_by(stack)), stack.target.region)


def of_directory(root: Path, *names: str, region: str = "eu-west-1") -> Iterator[Compiled]:
    for name in names:
        yield from compiled(name, Composer(root).compose(name), region)


def test_everything_that_is_composed(tmp_path: Path) -> None:
    skeleton.begin(tmp_path, account="123456789012", region="eu-west-1", project="shop")
    example = ROOT / "examples/stacks/stacks"
    found = [
        *of_project(example),
        *of_directory(example, *(f"templates/{path.name}" for path in (example / "templates").glob("*.yaml"))),
        *of_project(tmp_path / "stacks"),
        *of_directory(COMPOSED, "site.yaml"),
        *of_directory(SHIPPED, *sorted(path.name for path in SHIPPED.glob("*.yaml"))),
    ]
    assert {"proxy.yaml", "pool.yaml", "topic.yaml", "site.yaml"} <= {Path(each.file).name for each in found}
    assert lint(found) == []


def test_what_is_composed_is_what_was_reviewed() -> None:
    """Modules, loops, components, packages, constants, overrides, conditions and user data, all in one template."""
    made = Composer(COMPOSED).compose("site.yaml").text
    expected = COMPOSED / "site.golden.yaml"
    if made != expected.read_text():
        pytest.fail(f"{expected.name} isn't what is composed any more:\n{made}")
