"""The main job as a person types it: the installed program, a daemon of its own, real sandboxes and HAProxy."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeport.system import process
from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.role import wait_for
from tests.e2e.terminal import terminal


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    app = make_repository("plain", tmp_path, edits={"homeport.toml": FILE, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, tmp_path / "home")
    try:
        yield found
    finally:
        found.leave()


def test_the_main_job(person: Person) -> None:
    said = person("up")
    assert said.splitlines()[-1].startswith("http://")
    assert person.get("/healthz")
    instances = person.document("ps")["instances"]
    promised = "id app group zone state release address port pid"
    assert [" ".join(list(each)[:9]) for each in instances] == [promised] * 2
    assert all(process.start_time(each["pid"]) for each in instances)

    again = person.document("up")
    assert (again["release"], again["changed"]) == ("r1", False)

    commit(person.app, {"new.txt": "x"})
    assert person.document("deploy")["release"] == "r2"
    assert person.document("rollback")["release"] == "r3"
    assert person.document("release", "show", "r3")["origin"] == 1
    assert "plain runs r3, rolled back to r1" in person("up")

    assert person.document("scale", "web=3")["groups"] == [{"app": "plain", "group": "web", "desired": 3}]
    assert len(person.settled()) == 3

    assert person.document("config", "set", "APP_START=listen")["release"] == "r5"
    assert person("logs", "-n", "1", "--group", "web").strip()
    assert [each["verdict"] for each in person.document("deployment", "list")["deployments"]] == ["good"] * 5
    assert any(each["kind"] == "launch" for each in person.document("events")["events"])

    for words in (("status", "--watch"), ("ps", "-w"), ("engine", "logs", "-f"), ("logs", "-f")):
        _looks_on(person, *words)

    assert "nobody is here to confirm" in person("down", code=2)
    with terminal(person, "down", "--json") as typed:
        assert '"invalid"' in typed.until("nobody is here to confirm"), "one document, and no question"
    pids = [each["pid"] for each in person.document("ps")["instances"]]
    assert person.document("down", "--yes")["engine_stopped"]
    assert not any(process.start_time(pid) for pid in pids)
    assert "isn't running" in person("ps", code=5)
    gone = person.document("why", "web-1")
    assert (gone["causes"][0]["rule"], gone["causes"][0]["because"][0]["at"] is not None) == ("launch", True)
    assert "what it wrote, first and last" in person("why", "web-1"), "what is gone is told without an engine"
    assert "nothing to do" in person("down", "--yes")

    assert person.document("up")["verdict"] == "good"
    assert "removed" in person("down", "--yes", "--purge")
    assert person.document("release", "list")["releases"] == []


def _looks_on(person: Person, *words: str) -> None:
    """The command prints, and goes on until Ctrl-C."""
    terminal = person.begin(*words, "--json")
    assert terminal.stdout is not None
    assert json.loads(terminal.stdout.readline())
    assert terminal.poll() is None
    terminal.send_signal(signal.SIGINT)
    terminal.communicate(timeout=60)
    assert terminal.returncode == 130


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
    said = person("why", "2")
    assert re.search(
        r"goes back \(failed\): web of web-[34] keeps ending: exit code 3 \[.+\]", re.sub(r"[\s│├└─]+", " ", said)
    )
    assert "near it: web-" in person("why", "wbe-3", code=3)


def test_a_person_says_how_it_goes_on(person: Person) -> None:
    person("up")
    before = {each["id"] for each in person.settled()}
    commit(person.app, {"new.txt": "x"})
    terminal = person.begin("deploy", "--pause-after", "50%")
    _until(terminal, "  pausing: ")
    assert "homeport deployment continue 2" in person("status")
    assert "homeport rollback --abort" in person("rollback", code=4)
    assert "doesn't go on in staging, 2 does" in person("deployment", "continue", "7", code=4)
    assert "good" in person("deployment", "continue")
    assert terminal.wait(timeout=60) == 0
    assert "no deployment of plain goes on in staging: deployment 2 ended good" in person("deployment", "abort", code=4)

    after = {each["id"] for each in person.settled()} - before
    commit(person.app, {"new.txt": "y"})
    terminal = person.begin("deploy", "--pause-after", "1")
    _until(terminal, "  pausing: ")
    ended = person.document("rollback", "--abort")
    assert (ended["verdict"], ended["evidence"]["summary"].partition(": ")[2]) == ("aborted", "rollback")
    _, said = terminal.communicate(timeout=60)
    assert terminal.returncode == 6
    assert "aborted: by " in said
    assert {each["id"] for each in person.instances() if each["state"] == "InService"} == after
    assert "expected a number from 1" in person("deploy", "--pause-after", "none", code=2)


def _until(terminal: subprocess.Popen[str], start: str) -> None:
    assert terminal.stdout is not None
    while not (line := terminal.stdout.readline()).startswith(start):
        assert line, terminal.communicate()


def test_the_terminal_may_die(person: Person) -> None:
    person("up")
    commit(person.app, {"new.txt": "x"})
    terminal = person.begin("deploy", "--pause-after", "1")
    assert terminal.stdout is not None
    # the deployment has begun when its first line is there
    while not (line := terminal.stdout.readline()).startswith("deployment 2"):
        assert line, terminal.communicate()
    other = person("deploy", "--force", code=4)
    assert re.search(r"deployment 2 of r2 by .+, since \d\d:\d\d:\d\d UTC", other)
    terminal.send_signal(signal.SIGINT)
    _, said = terminal.communicate(timeout=60)
    assert terminal.returncode == 130
    assert "deployment show 2" in said
    wait_for(lambda: "homeport deployment continue 2" in person("status"), "it waits at its gate")
    person("deployment", "continue")
    assert "good" in person("deployment", "show", "2", "--follow")
    (app,) = person.document("status")["apps"]
    assert app["release"] == "r2"
    hook = "#!/bin/sh\necho never > ran\n"
    commit(person.app, {"new.txt": "y", ".homeport/hooks/post-deploy": hook})
    (person.app / ".homeport/hooks/post-deploy").chmod(0o755)
    left = person("deploy", "--detach")
    assert "homeport deployment show 3 --follow" in left
    assert "post-deploy isn't run" in left
    assert "good" in person("deployment", "show", "--follow")
    outcome = person.document("deploy", "--detach", "--force")
    assert (outcome["deployment"], outcome["verdict"]) == (4, None)
    assert person.document("deployment", "show", "--follow")["verdict"] == "good"
    assert not (person.app / "ran").exists()
    assert "--detach" in person("deploy", "--detach", "--dry-run", code=2)
    assert "already runs in plain/staging; in new instances: homeport deploy --force" in person("deploy")
