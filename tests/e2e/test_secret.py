"""Config and secrets in a running environment: values arrive exactly, and a secret is nowhere to be read in clear."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app_repository import make_repository
from tests.e2e.person import FILE, Person

SECRET = "open-sesame-4711-of-the-lamp"
VALUES = {
    "NEWLINES": "first\nsecond\n\n",
    "QUOTES": """it's "so" `here` $HOME \\n""",
    "BLANKS": "  before and after \t ",
    "EMPTY": "",
    "UMLAUT": "Köln 漢字",
    "EQUALS": "a=b==",
}


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("secret")
    edits = {
        "homeport.toml": FILE.replace("instances = 2", "instances = 1"),
        "Procfile": "web: exec python3 web.py\n",
        "config/common.env": "COLOUR=red\nSHAPE=round\n",
        "config/staging.env": "COLOUR=green\n",
    }
    found = Person(make_repository("plain", directory, edits=edits), directory / "home")
    try:
        found("up")
        yield found
    finally:
        found.leave()


def test_values_arrive_exactly(person: Person) -> None:
    pairs = [f"{key}={value}" for key, value in VALUES.items()]
    person("config", "set", *pairs, "--no-deploy")
    person("config", "set", "--secret", "BYTES=K\udcf6ln\n ")
    seen = json.loads(person.get("/env"))
    assert {key: seen[key] for key in VALUES} == VALUES
    assert seen["BYTES"] == "K\udcf6ln\n "


def test_what_cannot_be_kept_is_refused(person: Person) -> None:
    for words in (
        ("BYTES2=K\udcf6ln",),
        ("PORT=80",),
        ("HOMEPORT_APP=x",),
        ("1KEY=x",),
        ("KEY",),
        ("--from-stdin", "LONG"),
    ):
        error = json.loads(person("config", "set", *words, "--json", code=2, typed="x" * 131_072))["error"]
        assert error["kind"] == "invalid"
        assert len(error["message"]) < 300
    assert not {"BYTES2", "PORT", "LONG"} & {row["key"] for row in person.document("config", "list")["values"]}


def test_list_explains(person: Person) -> None:
    number = person.document("config", "set", "COLOUR=blue", "--no-deploy")["config"]
    rows = {row["key"]: row for row in person.document("config", "list", "--explain")["values"]}
    assert rows["SHAPE"]["layer"].startswith("config/common")
    assert (rows["COLOUR"]["value"], rows["COLOUR"]["layer"]) == ("blue", f"config set #{number}")
    assert [value for _, value in rows["COLOUR"]["overrode"]] == ["green", "red"]
    person("config", "unset", "COLOUR", "--no-deploy")
    assert "COLOUR" not in person("config", "list")
    assert "(unset)" in person("config", "list", "--explain")


def test_a_secret_is_nowhere_in_clear(person: Person) -> None:
    said = person("config", "set", "--secret", "--from-stdin", "API_KEY", typed=f"{SECRET}\n")
    assert "is good" in said
    # the app has it: without this the rest would prove nothing
    assert json.loads(person.get("/env"))["API_KEY"] == SECRET
    shown = [
        said,
        person("config", "list"),
        person("config", "list", "--explain", "--json"),
        person("ps", "--json"),
        person("status", "--json"),
        person("release", "show", "r3", "--json"),
        person("deployment", "show", "3"),
    ]
    for text in shown:
        assert SECRET not in text
    assert "API_KEY=***" in shown[1]
    assert files_with(SECRET, person.home, runtime(person)) == []
    assert arguments_with(SECRET) == []
    # and both looks can see it where it is
    (person.home / "seen").write_text(f"x{SECRET}")
    assert files_with(SECRET, person.home) == [person.home / "seen"]
    (person.home / "seen").unlink()
    known = (sys.executable, "-c", "print('here', flush=True); input()", SECRET)
    with subprocess.Popen(known, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # a process that has only just begun shows no arguments yet
        assert arguments_with(SECRET)
        process.kill()


def runtime(person: Person) -> Path:
    return Path(person.document("engine", "status")["socket"]).parent


def files_with(word: str, *roots: Path) -> list[Path]:
    """Files below `roots` that hold the word, in their content or name."""
    found = []
    for root in roots:
        for directory, _, names in os.walk(root):
            for path in (Path(directory, name) for name in names):
                if (
                    path.is_file()
                    and not path.is_symlink()
                    and (word.encode() in path.read_bytes() or word in path.name)
                ):
                    found.append(path)
    return found


def arguments_with(word: str) -> list[str]:
    """Command lines of all processes that hold the word."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if word.encode() in line:
            found.append(line.decode(errors="replace"))
    return found
