"""Input that is wrong: one clear message, exit code 2, and nothing is published. No engine runs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app_repository import commit, git, make_repository, replaced
from tests.e2e.person import Person


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad-input") / "home"


@pytest.fixture
def person(tmp_path: Path, home: Path) -> Person:
    return Person(make_repository("plain", tmp_path), home)


def no_repository(app: Path) -> None:
    (app / ".git").rename(app.parent / "elsewhere")


def no_commits(app: Path) -> None:
    no_repository(app)
    git(app, "init", "--quiet")


def submodule(app: Path) -> None:
    hash_of_another = git(app, "rev-parse", "HEAD")
    (app / ".gitmodules").write_text('[submodule "lamps"]\n\tpath = lamps\n\turl = ../lamps\n')
    git(app, "update-index", "--add", "--cacheinfo", f"160000,{hash_of_another},lamps")
    git(app, "add", ".gitmodules")
    git(app, "commit", "--quiet", "--message=lamps")


def damaged_submodule(app: Path) -> None:
    lamps = make_repository("plain", app.parent / "others")
    git(app, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lamps), "lamps")
    git(app, "commit", "--quiet", "--message=lamps")
    shutil.rmtree(app / ".git/modules/lamps/objects")


def moved_app(app: Path) -> None:
    edit = replaced(app, "homeport.toml", 'app = "plain"', 'platform = "two"\n[apps.plain]\nsource = "../blog"')
    commit(app, {"homeport.toml": re.sub(r"(?s)\n\[health.*", "\n", edit["homeport.toml"])})


def route_to_nobody(app: Path) -> None:
    edit = replaced(app, "homeport.toml", "[deploy]", '[[routes]]\nto = "wbe"\n[deploy]')
    commit(app, edit)


def link_out(app: Path) -> None:
    (app / "passwords").symlink_to("../../../etc/passwd")
    (app / "shadow").symlink_to("/etc/shadow")
    commit(app, {})


def unknown_keys(app: Path) -> None:
    text = (app / "homeport.toml").read_text()
    for old, new in (("path =", "pth ="), ('grace = "10s"', "grace = 10"), ("instances = 2", 'instances = "two"')):
        assert old in text
        text = text.replace(old, new, 1)
    commit(app, {"homeport.toml": text})


def no_toml(app: Path) -> None:
    commit(app, {"homeport.toml": 'app = "plain\n'})


def bad_procfile(app: Path) -> None:
    commit(app, {"Procfile": "web: exec python3 web.py\n<<<<<<< HEAD\nworker python3 worker.py\nweb: again\n"})


def no_procfile(app: Path) -> None:
    commit(app, {"Procfile": None})


def no_such_process(app: Path) -> None:
    commit(app, replaced(app, "homeport.toml", 'run = ["worker"]', 'run = ["wroker"]'))


def no_utf8_config(app: Path) -> None:
    commit(app, {"config/common.env": "NAME=K\udcf6ln\n"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_repository, ["isn't in a git repository", "git init"]),
        (no_commits, ["has no commits", "git commit"]),
        (submodule, ["lamps", "submodule"]),
        (damaged_submodule, ["submodule lamps of", "can't be read", "submodule update --init lamps", "not a git repo"]),
        (route_to_nobody, ["homeport.toml:", 'no group "wbe"', 'did you mean "web"']),
        (link_out, ["passwords", "shadow", "leaves the app"]),
        (unknown_keys, ["homeport.toml:", "pth", "path", "grace", "instances", "expected"]),
        (no_toml, ["homeport.toml:1:"]),
        (bad_procfile, ["Procfile:2", "Procfile:3", "Procfile:4", "conflict"]),
        (no_procfile, ["has no Procfile", "> Procfile"]),
        (no_such_process, ["wroker", "worker"]),
        (no_utf8_config, ["NAME", "isn't UTF-8", "config set --secret"]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_mistake_is_named(person: Person, spoil: Callable[[Path], None], said: list[str]) -> None:
    spoil(person.app)
    text = person("release", "create", code=2)
    for each in said:
        assert each in text
    assert text.count("error: ") == 1
    assert not list((person.home / "store").glob("plain/staging/r*"))


def test_an_app_whose_directory_moved(person: Person) -> None:
    moved_app(person.app)
    said = person("release", "create", "--app", "plain", code=3)
    assert "the source of plain isn't there: ../blog; did it move?" in said
    assert "[apps.plain] source" in said


def test_all_mistakes_of_a_file_at_once(person: Person) -> None:
    unknown_keys(person.app)
    error = person.document("release", "create", code=2)["error"]
    assert len(error["details"]) >= 3
