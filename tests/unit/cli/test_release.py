"""Releases composed from real repositories, built in real sandboxes, kept in a real store; no engine runs."""

import subprocess
from pathlib import Path

import pytest

from homeport.cli import publish
from homeport.model.release import Release
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import read_snapshot
from homeport.system.clock import SystemClock
from homeport.wiring import storage
from tests.app_repository import commit, git, make_repository
from tests.unit.cli.command import Shell


@pytest.fixture
def app(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_repository(
        "plain", tmp_path, edits={"config/common.env": "COLOUR=blue\n", "config/staging/web/SIZE": "7\n"}
    )
    monkeypatch.chdir(path)
    return path


def catalogue() -> Catalogue:
    return storage.catalogue(storage.store(storage.home()))


def release(number: int) -> Release:
    return catalogue().get("plain", "staging", number)


def variables(found: Release) -> dict[str, dict[str, str]]:
    snapshot = read_snapshot(catalogue().store, found.app, found.environment, found.config)
    return {group: {key: each.text for key, each in values.items()} for group, values in snapshot.groups.items()}


def test_a_release_is_made_once_for_the_same_thing(app: Path, shell: Shell) -> None:
    first = shell("release", "create", "--json")
    assert (first.code, first.document["release"], first.document["created"]) == (0, "r1", True)
    assert git(app, "tag") == "homeport/staging/r1"
    assert variables(release(1)) == {"web": {"COLOUR": "blue", "SIZE": "7"}, "worker": {"COLOUR": "blue"}}
    again = shell("release", "create", "--json")
    assert (again.document["release"], again.document["created"]) == ("r1", False)
    # each of the three things that a release is made of makes a new one
    shell("config", "set", "COLOUR=red")
    assert shell("release", "create", "--json").document["release"] == "r2"
    assert variables(release(2))["web"]["COLOUR"] == "red"
    commit(app, {"new.txt": "x"})
    assert shell("release", "create", "--json").document["release"] == "r3"
    commit(app, {"homeport.toml": (app / "homeport.toml").read_text().replace('bake = "500ms"', 'bake = "600ms"')})
    assert shell("release", "create", "--json").document["release"] == "r4"
    assert shell("release", "create", "--force", "--json").document["release"] == "r5"
    listed = shell("release", "list", "--json").document["releases"]
    assert [each["release"] for each in listed] == ["r5", "r4", "r3", "r2", "r1"]
    assert shell("release", "show", "r9").code == 3


def test_the_work_tree_counts_only_when_asked_for(app: Path, shell: Shell) -> None:
    (app / "config/common.env").write_text("COLOUR=green\n")
    said = shell("release", "create")
    assert "aren't committed" in said.out
    assert variables(release(1))["web"]["COLOUR"] == "blue"
    assert shell("release", "create", "--dirty").code == 0
    assert variables(release(2))["web"]["COLOUR"] == "green"
    assert release(2).slug.dirty
    assert git(app, "tag") == ""


def test_a_tarball_makes_the_same_code(
    app: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "plain.tar.gz"
    subprocess.run(("git", "-C", str(app), "archive", "-o", str(archive), "HEAD"), check=True)
    shell("release", "create")
    monkeypatch.chdir(tmp_path)
    assert shell("release", "create", "--from", str(archive), "--force").code == 0
    assert release(2).slug.layers == release(1).slug.layers
    assert release(2).slug.commit == release(1).slug.commit


def test_new_config_for_the_same_code_needs_no_repository(app: Path, shell: Shell) -> None:
    shell("release", "create")
    now = SystemClock().now()
    assert publish.configure(release(1), catalogue(), by="Ada", why="config", now=now) is None
    shell("config", "set", "SIZE=9")
    shell("config", "unset", "COLOUR")
    made = publish.configure(release(1), catalogue(), by="Ada", why="config", now=now)
    assert made is not None
    assert made.slug == release(1).slug
    assert made.origin == made.number == 2
    assert variables(made) == {"web": {"SIZE": "9"}, "worker": {"SIZE": "9"}}


@pytest.mark.parametrize(("keep", "colour"), [(False, "blue"), (True, "red")])
def test_a_rollback_carries_code_and_config_back(app: Path, shell: Shell, keep: bool, colour: str) -> None:
    shell("release", "create")
    shell("config", "set", "COLOUR=red")
    commit(app, {"new.txt": "x"})
    shell("release", "create")
    made = publish.roll_back(release(2), release(1), catalogue(), keep_config=keep, by="Ada", now=SystemClock().now())
    assert (made.number, made.origin, made.run_release_task) == (3, 1, False)
    assert made.slug == release(1).slug
    assert variables(made)["web"] == {"COLOUR": colour, "SIZE": "7"}


def test_a_file_that_lies_there_uncommitted_will_do(app: Path, shell: Shell) -> None:
    text = (app / "homeport.toml").read_text()
    commit(app, {"homeport.toml": None})
    (app / "homeport.toml").write_text(text)
    said = shell("release", "create")
    assert said.code == 0, said
    assert "homeport.toml isn't committed yet" in said.out


def test_nothing_is_published_where_the_build_fails(app: Path, shell: Shell) -> None:
    text = (app / "homeport.toml").read_text()
    commit(app, {"homeport.toml": text + '[build]\ncommand = "echo here it broke; exit 3"\n'})
    found = shell("release", "create")
    assert found.code == 6
    assert "here it broke" in found.err
    assert catalogue().numbers("plain", "staging") == []


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"homeport.toml": 'app = "plain"\n[group.web]\n'}, "homeport.toml:2"),
        ({"Procfile": "web python3\n"}, "Procfile:1"),
        ({"config/common.env": "1=2\n"}, "config/common.env:1"),
        ({"Procfile": None}, "no Procfile"),
    ],
)
def test_a_mistake_in_the_source_is_told_with_its_place(
    app: Path, shell: Shell, edits: dict[str, str | None], message: str
) -> None:
    commit(app, edits)
    found = shell("release", "create")
    assert found.code == 2
    assert message in found.err


def test_outside_of_a_repository(shell: Shell) -> None:
    found = shell("release", "create")
    assert found.code == 2
    assert "homeport init" in found.err
    (shell.directory / "homeport.toml").write_text('app = "x"\n')
    found = shell("release", "create")
    assert found.code == 2
    assert "git init" in found.err


def test_an_export_is_private(app: Path, shell: Shell, tmp_path: Path) -> None:
    shell("config", "set", "--secret", "TOKEN=t0p")
    shell("release", "create")
    found = shell("release", "export", "r1", "-o", str(tmp_path / "out"), "--json").document
    assert "export TOKEN=t0p" in Path(found["variables"]).read_text()
    assert Path(found["variables"]).stat().st_mode & 0o077 == 0
