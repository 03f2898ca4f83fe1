"""homeport init --engine aws: an environment is added to the platform file, or to a first one."""

from pathlib import Path

import pytest

from homeport.cli.main import run
from homeport.plan import platform

WORDS = ("init", "--engine", "aws", "--region", "eu-west-1", "--account", "123456789012")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "Procfile").write_text("web: ./web\n")
    return tmp_path


def test_into_a_first_file_and_into_one_that_is_there(app: Path) -> None:
    assert run([*WORDS, "-C", str(app)]) == 0
    assert run([*WORDS, "-C", str(app), "-e", "testing"]) == 0
    found = platform.parse((app / "homeport.toml").read_text())
    assert found.environments == ("staging", "production", "testing")
    place = platform.place_of(found, "testing")
    assert place.aws is not None
    assert (place.engine, place.aws.account, place.aws.region) == ("aws", "123456789012", "eu-west-1")


def test_nothing_is_lost_of_a_file_that_has_it_already(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*WORDS, "-C", str(app)]) == 0
    before = (app / "homeport.toml").read_text()
    assert run([*WORDS, "-C", str(app)]) == 2
    assert "has the environment production already" in capsys.readouterr().err
    assert (app / "homeport.toml").read_text() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "aws", "--region", "eu-west-1"), "--account is missing"),
        (("--engine", "aws", "--region", "eu-west-1", "--account", "12"), "twelve digits"),
        (("--engine", "aws", "--account", "123456789012"), "--region is missing"),
        (("--engine", "aws", "--account", "123456789012", "--region", "europe"), "eu-west-1"),
        ((*WORDS[1:4], "eu-wset-1", *WORDS[5:]), 'knows no region eu-wset-1, did you mean "eu-west-1"?'),
        ((*WORDS[1:], "-e", "Not A Name"), "a name is made of"),
        (("--region", "eu-west-1"), "for --engine aws"),
    ],
)
def test_bad_values_are_named_and_nothing_is_written(
    app: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", *words, "-C", str(app)]) == 2
    assert said in capsys.readouterr().err
    assert not (app / "homeport.toml").exists()
