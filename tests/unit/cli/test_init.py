"""`homeport init` on real directories."""

from homeport.plan.platform import parse
from tests.app_repository import APPS
from tests.unit.cli.command import Shell


def test_writes_what_it_detects(shell: Shell) -> None:
    (shell.directory / "Procfile").write_text("web: python3 app.py\nworker: python3 worker.py\nrelease: true\n")
    found = shell("init", "--app", "shop")
    assert found.code == 0
    assert "process types (Procfile): web, worker" in found.out
    assert "release task: true" in found.out
    platform = parse((shell.directory / "homeport.toml").read_text())
    assert platform.name == "shop"
    assert set(platform.data["groups"]) == {"web", "worker"}


def test_replaces_nothing_unless_told(shell: Shell) -> None:
    (shell.directory / "Procfile").write_text("web: python3 app.py\n")
    (shell.directory / "homeport.toml").write_text("mine")
    found = shell("init")
    assert (found.code, (shell.directory / "homeport.toml").read_text()) == (2, "mine")
    assert "--force" in found.err
    assert shell("init", "--force").code == 0
    assert "app =" in (shell.directory / "homeport.toml").read_text()


def test_without_procfile_says_what_to_write(shell: Shell) -> None:
    (shell.directory / "README").write_text("nothing to run")
    found = shell("init")
    assert found.code == 2
    assert "Procfile" in found.err
    assert not (shell.directory / "homeport.toml").exists()


def test_a_django_app(shell: Shell) -> None:
    found = shell("init", "-C", str(APPS / "django"), "--json")
    # it has a file already: the directory of the tests is left as it is
    assert found.code == 2
    assert found.document["error"]["kind"] == "invalid"


def test_a_mistake_in_the_procfile_has_its_line(shell: Shell) -> None:
    (shell.directory / "Procfile").write_text("web: a\nweb: b\n")
    found = shell("init")
    assert found.code == 2
    assert "Procfile:2" in found.err
    # and `up`, which writes the file too, doesn't send anybody elsewhere
    assert "cd into" not in shell("up").err
