"""`homeport config` on a real store and repository, with no engine running."""

import base64
import io
import sys
from pathlib import Path

import pytest

from homeport.wiring import storage
from tests.app_repository import commit, make_repository
from tests.unit.cli.command import Shell


@pytest.fixture
def app(tmp_path: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = make_repository("plain", tmp_path, edits={"config/common.env": "COLOUR=blue\nSIZE=small\n"})
    monkeypatch.chdir(path)
    return path


def values(shell: Shell, *words: str) -> dict[str, tuple[str, str]]:
    found = shell("config", "list", "--json", *words)
    assert found.code == 0, found
    return {each["key"]: (each["value"], each["layer"]) for each in found.document["values"]}


def test_what_is_set_lies_over_the_repository(app: Path, shell: Shell) -> None:
    assert values(shell) == {"COLOUR": ("blue", "config/common"), "SIZE": ("small", "config/common")}
    said = shell("config", "set", "COLOUR=red", "NEW=1")
    assert said.code == 0
    assert "takes effect at the next deploy" in said.out
    assert shell("config", "set", "--group", "web", "NEW=2").code == 0
    assert shell("config", "unset", "SIZE").code == 0
    assert values(shell) == {
        "COLOUR": ("red", "config set #1"),
        "NEW": ("1", "config set #1"),
        "SIZE": (None, "config set #3"),
    }
    assert values(shell, "--group", "web")["NEW"] == ("2", "config set #2")
    assert "config/common: blue" in shell("config", "list", "--explain").out
    commit(app, {"config/common.env": "COLOUR=green\n"})
    assert values(shell)["COLOUR"] == ("red", "config set #1")


@pytest.mark.parametrize("value", ["two\nlines", 'it\'s "quoted"', "trailing  ", "", "a=b=c", "äöü"])
def test_odd_values_survive(app: Path, shell: Shell, value: str) -> None:
    assert shell("config", "set", f"ODD={value}").code == 0
    assert values(shell)["ODD"][0] == value


def test_bytes_that_are_no_text_need_a_secret(app: Path, shell: Shell) -> None:
    value = b"\xff\xfe".decode("utf-8", "surrogateescape")
    found = shell("config", "set", f"KEY={value}")
    assert found.code == 2
    assert "--secret" in found.err
    assert shell("config", "set", "--secret", f"KEY={value}").code == 0


def test_a_secret_is_shown_nowhere(app: Path, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hunter2\xff \n")))
    said = shell("config", "set", "--secret", "--from-stdin", "TOKEN")
    listed = shell("config", "list", "--explain")
    assert "hunter2" not in said.out + said.err + listed.out
    assert "***" in listed.out
    written = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert b"hunter2" not in written
    assert base64.b64encode(b"hunter2") not in written
    page = storage.catalogue(storage.store(storage.home())).config_pages("plain", "staging")[1]
    kept = page.values["TOKEN"]
    assert kept is not None
    clear = storage.encryption(storage.home()).decrypt(kept.text).reveal()
    assert clear.encode("utf-8", "surrogateescape") == b"hunter2\xff "


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("set", "1A=x"), "name"),
        (("set", "PORT=80"), "PORT is set by Homeport"),
        (("set", "hunter2"), "expected KEY=VALUE, found 7 characters"),
        (("set",), "nothing to set"),
        (("unset", "A B"), "name"),
        (("set", "--secret", "A=" + "x" * 200_000), "too long"),
    ],
)
def test_what_cannot_be_is_refused_without_showing_it(
    app: Path, shell: Shell, words: tuple[str, ...], message: str
) -> None:
    found = shell("config", *words)
    assert found.code == 2
    assert message in found.err
    assert "hunter2" not in found.err
    assert values(shell).keys() == {"COLOUR", "SIZE"}


def test_an_unknown_group_is_refused_before_anything_is_kept(app: Path, shell: Shell) -> None:
    found = shell("config", "set", "--group", "wbe", "A=1")
    assert found.code == 3
    assert 'did you mean "web"?' in found.err
    assert "A" not in values(shell)
