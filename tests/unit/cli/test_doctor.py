"""`homeport doctor` on this machine, which has what is needed; and on one that lacks things."""

from pathlib import Path

import pytest

from homeport.engines.local.doctor import examine
from homeport.model.check import Check
from homeport.system.home import Home
from tests.unit.cli.command import Shell


def found(tmp_path: Path) -> dict[str, Check]:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.create()
    return {each.name: each for each in examine(home)}


def test_this_machine_is_ready(shell: Shell) -> None:
    said = shell("doctor", "--json")
    assert said.code == 0, said
    assert said.document["ok"]
    assert {"programs", "HAProxy", "sandbox", "memory limits", "packet filter", "disk", "Node", "nginx"} <= {
        each["name"] for each in said.document["checks"]
    }


def test_a_missing_program_comes_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeport.system.program.ADMIN", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    checks = found(tmp_path)
    assert not checks["programs"].ok
    assert "haproxy" in checks["programs"].found
    assert checks["programs"].mend.endswith("bubblewrap runit haproxy util-linux git")
    assert not checks["packet filter"].ok
    assert not checks["packet filter"].needed


def test_an_old_haproxy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin/haproxy"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho HAProxy version 2.4.9-1 2021\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    checks = found(tmp_path)
    assert not checks["HAProxy"].ok
    assert checks["HAProxy"].found == "version 2.4.9-1"
    assert "2.6" in checks["HAProxy"].expected
