"""Release tasks on the simulated AWS: each on an instance of its own, once, before anybody is served by the release."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import make_repository
from tests.aws.test_environment import FILE, WEB
from tests.e2e.person import Person

TASK = "release: echo $HOMEPORT_INSTANCE runs $HOMEPORT_RELEASE with $TOKEN; exit ${TASK_EXIT:-0}\n"


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    app = make_repository("plain", tmp_path, edits={"homeport.toml": FILE, "Procfile": WEB + TASK})
    found = Person(app, tmp_path / "home", environ=aws.variables)
    try:
        yield found
    finally:
        found.begin("down", "--yes", "--purge").communicate(timeout=120)


def launched_for(aws: Simulator, task: str) -> list[str]:
    """States of the instances that were."""
    wanted = [{"Name": "tag:homeport-task", "Values": [task]}]
    found = aws.client("ec2").describe_instances(Filters=wanted)["Reservations"]
    return [one["State"]["Name"] for each in found for one in each["Instances"]]


def test_a_release_task_runs_once_before_the_release_and_its_exit_code_decides(aws: Simulator, person: Person) -> None:
    assert person.document("up", "--yes")["release"] == "r1"
    written = person("logs", "--instance", "plain-release-d1")
    assert written.count("plain-release-d1 runs r1 with") == 1
    assert launched_for(aws, "plain-release-d1") == ["terminated"]

    error: Any = person.document("config", "set", "TOKEN=s3cret", "TASK_EXIT=3", "--secret", code=6)["error"]
    assert "the release task ended with status 3" in error["message"]
    assert error["details"][0] == "plain-release-d2 runs r2 with s3cret"
    assert {each["release"] for each in person.instances()} == {"r1"}
    assert launched_for(aws, "plain-release-d2") == ["terminated"]
    page = person.document("deployment", "show", "2")
    assert page["task"]["lines"][0]["text"] == "plain-release-d2 runs r2 with s3cret"
