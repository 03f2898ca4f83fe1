"""A command of Systems Manager that reaches only some of its instances: the deployment goes back everywhere, and who
hears nothing any more is replaced."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.service import Application, Knock
from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit
from tests.aws.environment import FILE, asked_all_the_time, leaving, person_of, public
from tests.aws.world import until
from tests.e2e.person import Person

TEXT = FILE.replace("desired = 2", "desired = 3").replace("[deploy]", "[deploy]\nmax_unavailable = 2")


@pytest.fixture
def person(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    try:
        with leaving(person_of(aws, tmp_path, TEXT)) as found:
            try:
                yield found
            finally:
                aws.door.weather = None
    finally:
        aws.commands.deaf.clear()


def overheard(told: Callable[[list[str], str], None]) -> Callable[[Knock, Application], Application]:
    """Each deploy command's instances and release, before it is sent."""

    def heard(knock: Knock, application: Application) -> Application:
        if knock.operation == "SendCommand":
            said: dict[str, Any] = json.loads(knock.body)
            (command,) = said["Parameters"]["commands"]
            if command.startswith("homeport-agent deploy"):
                told(said["InstanceIds"], command.rpartition("/")[2])
        return application

    return heard


def test_a_command_that_reaches_only_some(aws: Simulator, person: Person) -> None:
    person("up", "--yes")
    before = {each["id"] for each in person.instances()}
    forward: list[str] = []
    back: list[str] = []

    def told(instances: list[str], release: str) -> None:
        """The first one hears that it is to turn, the second one doesn't; on the way back nobody hears anything."""
        fresh = [each for each in instances if each not in forward]
        if release == "r2":
            aws.commands.deaf.update([*forward, *fresh][1:2])
            forward.extend(fresh)
        else:
            aws.commands.deaf.update(instances)
            back.extend(instances)

    with asked_all_the_time(public(aws, person)) as wrong:
        commit(person.app, {"new.txt": "x"})
        aws.door.weather = overheard(told)
        error = person.document("deploy", code=6)["error"]
        assert "couldn't deliver the command within 60 s" in error["message"]
        assert back == forward[:1], "only who turned must go back"
        until(lambda: {each["release"] for each in person.settled()} == {"r1"}, "all run what they ran before")
        after = {each["id"] for each in person.instances()}
        assert (len(after), before - after) == (3, set(back)), "who can't be told is replaced"
    assert wrong == []
    assert "it can't be told to bring r1: another takes its place" in person("why", back[0])
    assert person.document("deployment", "list")["deployments"][0]["verdict"] == "infrastructure"
