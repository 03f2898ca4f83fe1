"""Releases that don't work, one after the other over a running one: each verdict says why, and what runs serves on."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app_repository import commit, make_repository
from tests.e2e.person import FILE, Person
from tests.e2e.role import until_enough, wait_for
from tests.load import Load, load

GOOD = FILE.replace("instances = 2", "instances = 1").replace('stop_grace = "2s"', 'stop_grace = "700ms"')
GRACES = ("1200ms", "6s", "30s")
"""For releases that never get healthy."""


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory = tmp_path_factory.mktemp("bad-release")
    app = make_repository("plain", directory, edits={"homeport.toml": GOOD, "Procfile": "web: exec python3 web.py\n"})
    found = Person(app, directory / "home")
    try:
        found("up")
        yield found
    finally:
        found.leave()


@pytest.fixture(scope="module")
def traffic(person: Person) -> Iterator[Load]:
    """Somebody asks what runs, all the time."""
    with load(person.url() + "/", rate=40, methods=("GET",)) as found:
        yield found


class committed:
    """A commit with these edits, taken back at the end."""

    def __init__(self, person: Person, edits: dict[str, str]) -> None:
        self.person, self.edits = person, edits

    def __enter__(self) -> None:
        commit(self.person.app, self.edits)

    def __exit__(self, *_: object) -> None:
        subprocess.run(("git", "-C", self.person.app, "reset", "-q", "--hard", "HEAD~1"), check=True)


@pytest.mark.parametrize(
    ("setting", "lines", "hint"),
    [
        ("APP_HEALTH=301", ["answered 301", "location: https://"], "SECURE_SSL_REDIRECT"),
        ("APP_HEALTH=400", ["Host 127.0.0.1: answered 400", "health says 400"], "ALLOWED_HOSTS"),
        ("APP_HEALTH=404", ["answered 404"], "[health] path"),
        ("APP_HEALTH=500", ["answered 500"], "homeport logs -e staging --instance web-"),
        ("APP_HEALTH=slow", ["no answer within 0.3 s", "doesn't answer in time"], "`timeout`"),
        ("APP_HEALTH=never", ["no answer within 0.3 s", "doesn't answer in time"], "`timeout`"),
        ("APP_START=exit", ["exiting as told", "web: ended", "exit code 1"], "homeport logs -e staging"),
        ("APP_START=never-listen", ["it listens on nothing, expected 0.0.0.0:$PORT"], "homeport logs -e staging"),
        ("APP_START=wrong-port", ["it listens on 127.", ", expected 0.0.0.0:$PORT"], "PORT"),
        ("APP_START=localhost", ["it listens on 127.0.0.1:"], "bind to 0.0.0.0"),
    ],
)
def test_the_verdict_explains(person: Person, traffic: Load, setting: str, lines: list[str], hint: str) -> None:

    def verdict(grace: str) -> dict[str, Any]:
        soon = GOOD.replace('grace = "30s"', f'grace = "{grace}"\ntimeout = "300ms"')
        with committed(person, {"homeport.toml": soon, "config/common.env": f"{setting}\n"}):
            return dict(person.document("deploy", code=6)["error"])

    def missing(error: dict[str, Any]) -> list[str]:
        said = "\n".join(error["details"])
        return [line for line in lines if line not in said]

    error = until_enough(GRACES, verdict, lambda error: not missing(error))
    assert missing(error) == [], error
    assert error["kind"] == "failed"
    assert hint in error["hint"]


def test_bad_releases_harmed_nobody(person: Person, traffic: Load) -> None:
    report = traffic.end()
    assert report.failures == []
    assert set(report.releases) == {"r1"}
    (instance,) = person.settled()
    assert (instance["id"], instance["release"], instance["check"]) == ("web-1", "r1", "healthy")
    first, *others = reversed(person.document("deployment", "list")["deployments"])
    assert first["verdict"] == "good"
    assert {(each["verdict"], each["previous"]) for each in others} == {("failed", "r1")}


def test_a_process_deaf_to_term_goes_within_its_grace(person: Person) -> None:
    person("config", "set", "APP_IGNORE_TERM=1")
    newest = person.document("release", "list")["releases"][0]["release"]
    deaf = {each["id"]: each["pid"] for each in person.instances() if each["release"] == newest}
    assert deaf
    person("config", "unset", "APP_IGNORE_TERM")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in deaf.values()), "the deaf have ended")
    wait_for(lambda: not deaf.keys() & {each["id"] for each in person.instances()}, "nobody speaks of them")
    killed = {each["subject"] for each in person.document("events", "-n", "200")["events"] if each["kind"] == "kill"}
    assert deaf.keys() <= killed


def test_a_release_task_that_hangs_is_ended_and_may_say_something(person: Person) -> None:
    task = "release: trap 'echo told; exit 3' TERM; echo begun; sleep 4711 & wait\n"

    def failure(seconds: int) -> dict[str, Any]:
        limited = GOOD.replace("[deploy]", f'[deploy]\ntimeout = "{seconds}s"')
        with committed(person, {"Procfile": f"web: exec python3 web.py\n{task}", "homeport.toml": limited}):
            error = dict(person.document("deploy", code=6)["error"])
        end = "; the release task was interrupted: what it did can't be known"
        assert f"it took longer than {seconds} s{end}" in error["message"]
        return error

    error = until_enough((2, 8, 30), failure, lambda error: "begun" in error["details"])
    assert error["details"] == ["begun", "told"]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert b"sleep\x004711\x00" not in commands
    page = person.document("deployment", "show")
    assert (page["deployment"]["verdict"], page["task"]["exit_code"]) == ("failed", None)


def test_a_build_that_fails_publishes_nothing(person: Person) -> None:
    before = person.document("release", "list")
    edit = {"homeport.toml": GOOD + '[build]\ncommand = "echo compiling the lamp; exit 3"\n'}
    with committed(person, edit):
        error = person.document("deploy", code=6)["error"]
    assert "3" in error["message"]
    assert any("compiling the lamp" in line for line in error["details"])
    assert person.document("release", "list") == before


def test_a_damaged_layer_is_refused_before_anything_begins(person: Person) -> None:
    def known() -> list[Path]:
        return list((person.home / "store/plain/layers").glob("*.zst"))

    before, deployments = known(), person.document("deployment", "list")
    with committed(person, {"lamp": "lit"}):
        number = person.document("release", "create")["release"]
    (layer,) = set(known()) - set(before)
    data = layer.read_bytes()
    layer.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    error = person.document("deploy", "--release", number, code=6)["error"]
    assert "has digest" in error["message"]
    assert person.document("deployment", "list") == deployments
    layer.write_bytes(data)
    ended = person.document("deploy", "--release", number)
    assert (ended["release"], ended["verdict"]) == (number, "good")
    assert person.document("rollback", "--to", number)["changed"] is False


def test_a_port_in_use(person: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        edit = {
            "homeport.toml": f'default = "staging"\n{GOOD}[environments.demo]\nengine = "local"\n'
            f'listen = "127.0.0.1:{port}"\n'
        }
        with committed(person, edit):
            error = person.document("up", "-e", "demo", code=4)["error"]
    assert str(port) in error["message"]
    assert error["hint"]
    assert [each["name"] for each in person.document("engine", "status")["environments"]] == ["staging"]


def test_a_large_file_is_carried_and_mentioned(person: Person) -> None:
    with (person.app / "large.bin").open("wb") as file:
        file.truncate(200_000_000)
    try:
        said = person("deploy", "--dirty")
    finally:
        (person.app / "large.bin").unlink()
    assert "large.bin is 200 MB" in said
    assert "is good" in said
