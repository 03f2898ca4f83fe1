"""A person at a terminal: types commands of the installed program in the directory of an app."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.role import wait_for

ARGV = (sys.executable, "-m", "homeport")
PATIENCE_SECONDS = 300
"""A build asks registries, which may be slow."""
FILE = """app = "plain"
[health]
path = "/healthz"
interval = "100ms"
grace = "30s"
[groups.web]
run = ["web"]
instances = 2
stop_grace = "2s"
[deploy]
bake = "200ms"
[environments.staging]
engine = "local"
"""
"""A platform file for the app `plain`: two of `web`, and everything happens soon."""


class Person:
    """`environ`: what their shell has beside this process's own environment. `uid`: None: the one of this process.
    `program`: what they have installed."""

    def __init__(
        self,
        app: Path,
        home: Path,
        *,
        environ: Mapping[str, str] = {},
        uid: int | None = None,
        program: Sequence[str] = ARGV,
    ) -> None:
        self.program = program
        self.app = app
        self.home = home
        self.uid = uid
        self.environ = {**os.environ, "HOMEPORT_HOME": str(home), **environ}

    def __call__(self, *words: str, code: int = 0, typed: str | None = None) -> str:
        """What the command says, once it has ended with that code. `typed`: its standard input; None: there is none."""
        terminal = self.begin(*words, stdin=subprocess.DEVNULL if typed is None else subprocess.PIPE)
        try:
            out, err = terminal.communicate(typed, timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            terminal.kill()
            raise
        assert terminal.returncode == code, f"{words}: {terminal.returncode}\n{out}\n{err}"
        return out + err

    def document(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))

    def instances(self) -> list[dict[str, Any]]:
        return list(self.document("ps")["instances"])

    def settled(self) -> list[dict[str, Any]]:
        """The instances, once each is in service and well: a verdict doesn't wait for the end of the old ones."""

        def well() -> list[dict[str, Any]] | None:
            seen = self.instances()
            good = all((each["state"], each["check"]) == ("InService", "healthy") for each in seen)
            return seen if good else None

        return list(wait_for(well, "every instance in service and well"))

    def url(self) -> str:
        (url,) = self.document("status")["urls"]
        return str(url)

    def get(self, path: str = "/") -> str:
        return get(self.url() + path)

    def begin(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        groups: list[int] | None = None if self.uid is None else []
        return subprocess.Popen(
            (*self.program, *words),
            cwd=self.app,
            env=self.environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=self.uid,
            group=self.uid,
            extra_groups=groups,
        )

    def leave(self, *environments: str) -> None:
        """Whatever this person has started has ended, however far they came: the only environment, or those named."""
        said: list[tuple[str, ...]] = [("-e", each) for each in environments]
        for words in said or [()]:
            out, _ = self.begin("down", *words, "--yes", "--json").communicate(timeout=PATIENCE_SECONDS)
        if '"engine_stopped": true' not in out:
            self.begin("engine", "stop").communicate(timeout=PATIENCE_SECONDS)


def get(url: str) -> str:
    """The body of a 2xx answer. Raises `OSError`."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())
