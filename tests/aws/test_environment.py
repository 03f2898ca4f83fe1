"""An environment on the simulated AWS, as a person has it: the same file, the same commands."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit, make_repository
from tests.aws.world import until
from tests.e2e.person import Person

FILE = """app = "plain"
[health]
path = "/healthz"
grace = "4s"
[groups.web]
run = ["web"]
instances = { min = 1, desired = 2, max = 4 }
stop_grace = "2s"
drain = "1s"
[deploy]
bake = "200ms"
[environments.production]
engine = "aws"
account = "123456789012"
region = "eu-west-1"
"""
WEB = "web: exec python3 web.py\n"


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    app = make_repository("plain", tmp_path, edits={"homeport.toml": FILE, "Procfile": WEB})
    found = Person(app, tmp_path / "home", environ=aws.variables)
    try:
        yield found
    finally:
        found.begin("down", "--yes", "--purge").communicate(timeout=120)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


@contextmanager
def asked_all_the_time(url: str) -> Iterator[list[str]]:
    """What went wrong meanwhile."""
    wrong: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            try:
                get(f"{url}/healthz")
            except OSError as error:
                wrong.append(repr(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield wrong
    finally:
        over.set()
        thread.join()


def public(aws: Simulator, person: Person) -> str:
    """Where the load balancer's stand-in answers."""
    name = person.url().removeprefix("http://")
    return str(until(lambda: aws.url_of(name), "the load balancer answers"))


def test_from_a_repository_to_an_environment_on_aws_and_back(aws: Simulator, person: Person) -> None:
    refused = person("up", code=2)
    assert "nobody is here to confirm it" in refused
    assert "AWS::AutoScaling::AutoScalingGroup" in refused, "what would be made is shown"
    assert person.document("up", "--yes")["release"] == "r1"
    url = public(aws, person)
    assert get(f"{url}/healthz")
    first = person.instances()
    assert [(each["state"], each["release"], each["check"]) for each in first] == [("InService", "r1", "healthy")] * 2
    assert len({each["zone"] for each in first}) == 2

    with asked_all_the_time(url) as wrong:
        commit(person.app, {"new.txt": "x"})
        assert person.document("deploy")["release"] == "r2"
        error = person.document("config", "set", "APP_HEALTH=500", code=6)["error"]
        assert "isn't healthy after" in error["message"]
        assert any("500" in line for line in error["details"]), "with the instance's own words"
        now = {each["id"]: each["release"] for each in person.instances()}
        assert now == {each["id"]: "r2" for each in first}, "in place, and back"
        assert person.document("scale", "web=3")["groups"] == [{"app": "plain", "group": "web", "desired": 3}]
        assert len(person.instances()) == 3
    assert wrong == []

    assert person.document("config", "set", "APP_HEALTH=200", "--secret")["verdict"] == "good"
    assert person.document("rollback")["release"] == "r5"
    assert "listens on" in person("logs", "-n", "20")
    other = Person(person.app, person.home.with_name("other"), environ=aws.variables)
    assert {each["release"] for each in other.instances()} == {"r5"}, "whoever has the file and credentials sees it"

    other("down", "--yes")
    assert [each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]] == [
        "homeport-plain-store"
    ]
    assert aws.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert "nothing to do" in person("down", "--yes")


def test_a_first_release_that_never_gets_healthy_leaves_nothing_running(aws: Simulator, person: Person) -> None:
    commit(person.app, {"Procfile": "web: echo going under; exit 3\n"})
    error = person.document("up", "--yes", code=6)["error"]
    assert any("going under" in line for line in error["details"]), error
    until(lambda: person.instances() == [], "nothing is launched any more")


def test_credentials_of_another_account_change_nothing(aws: Simulator, person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE.replace("123456789012", "210987654321")})
    assert "210987654321" in person("up", "--yes", code=4)


def test_what_engine_aws_cannot_do_is_said_before_anything_is_made(aws: Simulator, person: Person) -> None:
    commit(person.app, {"homeport.toml": FILE.replace("[deploy]", '[deploy]\nstrategy = "blue-green"')})
    refused = person("up", "--yes", code=2)
    assert "deploy: strategy blue-green; rolling and replace work" in refused
    names = [each["StackName"] for each in aws.client("cloudformation").describe_stacks()["Stacks"]]
    assert set(names) <= {"homeport-plain-store"}, "which outlives its environments"
