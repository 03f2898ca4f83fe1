"""Commands run as a person does, but in this process: exit code, standard output, standard error."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from homeport.cli.main import run


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Shell:
    """A person's shell: its own $HOMEPORT_HOME, in a directory."""

    def __init__(self, capsys: pytest.CaptureFixture[str], directory: Path) -> None:
        self.capsys = capsys
        self.directory = directory

    def __call__(self, *words: str) -> Result:
        self.capsys.readouterr()
        code = run(list(words))
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)
