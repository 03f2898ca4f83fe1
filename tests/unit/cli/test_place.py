"""Which environment, app and person a command means."""

from pathlib import Path

import pytest

from homeport.cli import place
from homeport.cli.client import Client
from homeport.cli.door import SocketDoor
from homeport.console.views import EnvironmentView
from homeport.errors import Invalid, NotFound
from tests.unit.cli.command import Shell

TWO = 'app = "shop"\ndefault = "staging"\n[environments.staging]\n[environments.production]\n'


class Up(Client):
    """A client whose engine has these environments up."""

    def __init__(self, *names: str) -> None:
        super().__init__(SocketDoor(Path("/nowhere")))
        self.names = names

    def environments(self) -> tuple[EnvironmentView, ...]:
        return tuple(
            EnvironmentView(
                environment=each, platform=each.split("/")[0], name=each.split("/")[1], engine="local", urls=()
            )
            for each in self.names
        )


def test_the_file_is_looked_for_upwards_within_the_repository(shell: Shell) -> None:
    top = shell.directory
    inner = top / "a/b"
    inner.mkdir(parents=True)
    (top / "homeport.toml").write_text(TWO)
    assert place.find_file(inner) == top / "homeport.toml"
    (top / "a/.git").mkdir()
    assert place.find_file(inner) is None


def test_with_a_file_its_default_is_meant(shell: Shell) -> None:
    (shell.directory / "homeport.toml").write_text(TWO)
    assert place.environment_id(shell.directory, None, Up("blog/staging")) == "shop/staging"
    assert place.environment_id(shell.directory, "production", Up()) == "shop/production"
    assert place.environment_id(shell.directory, "blog/staging", Up()) == "blog/staging"
    with pytest.raises(NotFound, match="prod"):
        place.environment_id(shell.directory, "prod", Up())


def test_without_a_file_what_is_up_is_meant(shell: Shell) -> None:
    assert place.environment_id(shell.directory, None, Up("shop/staging")) == "shop/staging"
    assert place.environment_id(shell.directory, "x", Up("shop/staging", "blog/x")) == "blog/x"
    with pytest.raises(Invalid) as several:
        place.environment_id(shell.directory, None, Up("shop/staging", "blog/staging"))
    assert several.value.hint == "say which: -e shop/staging"
    with pytest.raises(NotFound):
        place.environment_id(shell.directory, None, Up())


def test_one_of_several_apps_must_be_named(shell: Shell) -> None:
    text = 'platform = "shops"\n[apps.shop]\n[apps.blog]\nsource = "../blog"\n'
    (shell.directory / "homeport.toml").write_text(text)
    with pytest.raises(Invalid, match="2 apps: shop, blog"):
        place.app_name(shell.directory, "shops/staging", None)
    assert place.app_name(shell.directory, "shops/staging", "blog") == "blog"


def test_who_does_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "@" in place.person(shell.directory)
    config = shell.directory / "gitconfig"
    config.write_text("[user]\nname = Grace Hopper\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert place.person(shell.directory) == "Grace Hopper"
