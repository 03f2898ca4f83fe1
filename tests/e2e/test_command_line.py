"""The main job as a person types it: the installed program, a daemon of its own, real sandboxes and HAProxy."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import commit, make_repository, replaced

ARGV = (sys.executable, "-m", "homeport")
FILE = """app = "plain"
[health]
path = "/healthz"
interval = "100ms"
grace = "5s"
[groups.web]
run = ["web"]
instances = 2
stop_grace = "2s"
[deploy]
bake = "200ms"
[environments.staging]
engine = "local"
"""


class Person:
    """Types commands in the directory of an app."""

    def __init__(self, app: Path, home: Path) -> None:
        self.app = app
        self.environ = {**os.environ, "HOMEPORT_HOME": str(home)}

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            (*ARGV, *words), cwd=self.app, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def document(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))

    def get(self, path: str = "/") -> str:
        (url,) = self.document("status")["urls"]
        with urllib.request.urlopen(url + path, timeout=10) as response:
            return str(response.read().decode())

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            (*ARGV, *words), cwd=self.app, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    app = make_repository("plain", tmp_path, edits={"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, tmp_path / "home")
    try:
        yield found
    finally:
        subprocess.run((*ARGV, "down", "--yes"), cwd=app, env=found.environ, capture_output=True, timeout=60)
        subprocess.run((*ARGV, "engine", "stop"), cwd=app, env=found.environ, capture_output=True, timeout=60)


def test_the_main_job(person: Person) -> None:
    said = person("up")
    assert said.splitlines()[-1].startswith("http://")
    assert person.get("/healthz")
    instances = person.document("ps")["instances"]
    promised = "id app group zone state release address port pid"
    assert [" ".join(list(each)[:9]) for each in instances] == [promised] * 2
    assert all(Path(f"/proc/{each['pid']}").exists() for each in instances)

    again = person.document("up")
    assert (again["release"], again["changed"]) == ("r1", False)

    commit(person.app, {"new.txt": "x"})
    assert person.document("deploy")["release"] == "r2"
    assert person.document("rollback")["release"] == "r3"
    assert person.document("release", "show", "r3")["origin"] == 1

    assert person.document("scale", "web=3")["groups"] == [{"app": "plain", "group": "web", "desired": 3}]
    assert len(person.document("ps")["instances"]) == 3

    assert person.document("config", "set", "APP_START=listen")["release"] == "r4"
    assert person("logs", "-n", "1", "--group", "web").strip()
    assert [each["verdict"] for each in person.document("deployment", "list")["deployments"]] == ["good"] * 4
    assert any(each["kind"] == "launch" for each in person.document("events")["events"])

    assert "nobody is here to confirm" in person("down", code=2)
    pids = [each["pid"] for each in person.document("ps")["instances"]]
    assert person.document("down", "--yes")["engine_stopped"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert "isn't running" in person("ps", code=5)
    assert "nothing to do" in person("down", "--yes")

    assert person.document("up")["verdict"] == "good"
    assert "removed" in person("down", "--yes", "--purge")
    assert person.document("release", "list")["releases"] == []


def test_a_bad_release_is_taken_back(person: Person) -> None:
    person("up")
    commit(person.app, {"Procfile": "web: echo going under; exit 3\n"})
    error = person.document("deploy", code=6)["error"]
    assert error["kind"] == "failed"
    assert error["hint"]
    assert any("exit code 3" in line for line in error["details"])
    assert any("going under" in line for line in error["details"])
    assert person.get("/healthz")
    (app,) = person.document("status")["apps"]
    assert (app["release"], app["deployment"]["verdict"]) == ("r1", "failed")


def test_the_terminal_may_die(person: Person) -> None:
    person("up")
    commit(person.app, replaced(person.app, "homeport.toml", 'bake = "200ms"', 'bake = "2s"'))
    terminal = person.begin("deploy")
    assert terminal.stdout is not None
    # the deployment has begun when its first line is there
    while not (line := terminal.stdout.readline()).startswith("deployment 2"):
        assert line, terminal.communicate()
    other = person("deploy", "--force", code=4)
    assert "deployment 2 of r2" in other
    terminal.send_signal(signal.SIGINT)
    _, said = terminal.communicate(timeout=20)
    assert terminal.returncode == 130
    assert "deployment show 2" in said
    assert "good" in person("deployment", "show", "2", "--follow")
    (app,) = person.document("status")["apps"]
    assert app["release"] == "r2"
