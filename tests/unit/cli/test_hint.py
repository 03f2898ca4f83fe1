"""What to type next is for the environment that the command was typed for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.cli import hint
from tests.unit.cli.command import Shell


@pytest.fixture(autouse=True)
def production() -> Iterator[None]:
    hint.speak_of("production")
    yield
    hint.speak_of(None)


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ("homeport up", "homeport up -e production"),
        ("mend it, then: homeport deploy --force", "mend it, then: homeport deploy -e production --force"),
        ("homeport down, then up, to begin anew", "homeport down -e production, then up, to begin anew"),
        ("homeport config set A=…", "homeport config set -e production A=…"),
        ("homeport deploy -e staging", "homeport deploy -e staging"),
        ("homeport logs --instance i-1 -e shop/staging", "homeport logs --instance i-1 -e shop/staging"),
        ("homeport exec i-1 -- env -i ls", "homeport exec -e production i-1 -- env -i ls"),
        (
            "homeport status; homeport cycle web --cancel",
            "homeport status -e production; homeport cycle -e production web --cancel",
        ),
        (
            "homeport up -e staging   # goes on; homeport down takes away what is there",
            "homeport up -e staging   # goes on; homeport down -e production takes away what is there",
        ),
        ("homeport unfreeze   # or: -e", "homeport unfreeze -e production   # or: -e"),
        ("homeport engine start", "homeport engine start"),
        ("homeport release", "homeport release"),
        ("homeport nothing", "homeport nothing"),
        ("docs/limits.md; homeport.toml", "docs/limits.md; homeport.toml"),
    ],
)
def test_commands_get_the_environment_where_they_take_it_and_lack_it(said: str, typed: str) -> None:
    assert hint.completed(said) == typed


def test_who_named_no_environment_is_told_none() -> None:
    hint.speak_of(None)
    assert hint.completed("homeport up") == "homeport up"


def test_errors_say_it_to_people_and_to_programs(shell: Shell) -> None:
    Path("homeport.toml").write_text('app = "shop"\n[environments.staging]\n[environments.production]\n')
    words = ("release", "show", "x1", "-e", "production")
    assert "→ homeport release list -e production\n" in shell(*words).err
    assert shell(*words, "--json").document["error"]["hint"] == "homeport release list -e production"
