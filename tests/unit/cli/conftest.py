from pathlib import Path

import pytest

from tests.app_repository import ENVIRONMENT
from tests.unit.cli.command import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("HOMEPORT_HOME", str(tmp_path / "home"))
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return Shell(capsys, directory)
