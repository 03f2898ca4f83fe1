"""What people ask of an environment on the simulated AWS, beside bringing it up: release tasks, each on an instance of
its own; deployments that another terminal drives; commands, standby, cycles, maintenance.

One environment for all of them, in this order, of an app that no other file has: AWS shows what has ended for a while.
"""

import signal
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit
from tests.aws.environment import FILE as PLAIN
from tests.aws.environment import WEB, get, leaving, person_of, public
from tests.aws.world import until
from tests.e2e.person import Person

FILE = PLAIN.replace('app = "plain"', 'app = "errands"').replace('stop_grace = "2s"', 'stop_grace = "2m"')
"""Who ends has the time to leave its log."""
TASK = "release: echo $HOMEPORT_INSTANCE runs $HOMEPORT_RELEASE with $TOKEN; exit ${TASK_EXIT:-0}\n"
SMOKE = '[[deploy.alarms]]\ncommand = "echo smoke of $HOMEPORT_RELEASE"\n'
HANGS = "release: trap 'echo told to end' TERM; echo begun; while :; do sleep 0.1; done\n"


@pytest.fixture(scope="module")
def person(running_aws: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    directory: Path = tmp_path_factory.mktemp("task")
    found = person_of(running_aws, directory, FILE, procfile=WEB + TASK)
    hook = found.app / ".homeport/hooks/post-deploy"
    hook.parent.mkdir(parents=True)
    hook.write_text('#!/bin/sh\necho "$HOMEPORT_RELEASE" >"$HOMEPORT_HOME/hooked"\n')
    hook.chmod(0o755)
    with leaving(found):
        yield found


def launched_for(aws: Simulator, task: str) -> list[str]:
    """States of the instances that were."""
    wanted = [{"Name": "tag:homeport-task", "Values": [task]}]
    found = aws.client("ec2").describe_instances(Filters=wanted)["Reservations"]
    return [one["State"]["Name"] for each in found for one in each["Instances"]]


def status(url: str) -> int:
    try:
        get(f"{url}/healthz")
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def releases(person: Person) -> set[str]:
    return {each["release"] for each in person.instances()}


def happened(person: Person) -> list[str]:
    """In the newest deployment."""
    return [each["type"] for each in person.document("deployment", "show")["entries"]]


def ended(terminal: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = terminal.communicate(timeout=120)
    return terminal.returncode, out + err


def test_a_release_task_runs_once_before_the_release_and_its_exit_code_decides(aws: Simulator, person: Person) -> None:
    said = person("up", "--yes")
    assert "errands r1 is good" in said
    order = ("release task started", "errands-release-d1 runs r1", "release task done")
    assert sorted(order, key=said.index) == list(order)
    written = person("logs", "--instance", "errands-release-d1")
    assert written.count("errands-release-d1 runs r1 with") == 1
    assert launched_for(aws, "errands-release-d1") == ["terminated"]

    error: Any = person.document("config", "set", "TOKEN=s3cret", "TASK_EXIT=3", "--secret", code=6)["error"]
    assert "the release task ended with status 3" in error["message"]
    assert error["details"][0] == "errands-release-d2 runs r2 with s3cret"
    assert releases(person) == {"r1"}
    assert launched_for(aws, "errands-release-d2") == ["terminated"]
    page = person.document("deployment", "show", "2")
    assert page["task"]["lines"][0]["text"] == "errands-release-d2 runs r2 with s3cret"


def test_another_terminal_lets_a_deployment_go_on(aws: Simulator, person: Person) -> None:
    commit(person.app, {"Procfile": WEB, "homeport.toml": FILE + SMOKE})
    driver = person.begin("deploy", "--pause-after", "1")
    until(lambda: "Paused" in happened(person), "it waits")
    assert len(releases(person)) == 2
    person("deployment", "continue")
    code, said = ended(driver)
    assert code == 0, said
    assert releases(person) == {"r3"}
    assert "smoke of r3" in person("logs", "--instance", "errands-alarm-d3-1")
    assert (person.home / "hooked").read_text() == "r3\n"


def test_a_person_runs_commands_beside_the_fleet_and_inside_it(aws: Simulator, person: Person) -> None:
    line = 'echo "$HOMEPORT_INSTANCE of $HOMEPORT_RELEASE with $TOKEN"; exit 3'
    assert "run.1 of r3 with s3cret" in person("run", line, code=3)
    until(lambda: launched_for(aws, "run.1") == ["terminated"], "its instance has gone")
    begun = person("run", "--detach", "echo begun; sleep 300").strip()
    until(lambda: "begun" in person("logs", "--instance", begun), "it runs")
    person("run", "--stop", begun)
    one = min(each["id"] for each in person.instances())
    said = person("exec", one, "--", "sh", "-c", "echo in $HOMEPORT_INSTANCE; echo bad >&2; exit 4", code=4)
    assert f"in {one}\n" in said
    assert "bad\n" in said
    assert "failed to run commands" not in said
    assert "command not found" in person("exec", one, "--", "nothing-of-that-name", code=127)
    assert "say a command" in person("exec", one, code=2)
    until(lambda: not person.document("ps")["sessions"], "the detached one has ended")


def test_an_instance_is_put_aside_and_comes_back_and_all_are_replaced(aws: Simulator, person: Person) -> None:
    first = {each["id"] for each in person.instances()}
    person("standby", "enter", min(first))
    person("scale", "web=2")
    assert sorted(each["state"] for each in person.instances()) == ["InService", "InService", "Standby"]
    person("standby", "exit", min(first))
    until(lambda: [each["state"] for each in person.instances()] == ["InService"] * 2, "one that is too many has gone")
    second = {each["id"] for each in person.instances()}
    assert min(first) in second, "the oldest stays"
    person("cycle", "web")
    left = until(lambda: len(seen := person.instances()) == 2 and seen, "the old have gone")
    third = {each["id"] for each in left}
    assert not third & second
    assert "listens on" in person("logs", "--instance", min(second)), "what is gone can still be read"


def test_maintenance_answers_everybody_but_those_who_are_let_through(aws: Simulator, person: Person) -> None:
    url = public(aws, person)
    assert get(f"{url}/healthz")
    person("maintenance", "on", "--why", "the database moves")
    until(lambda: status(url) == 503, "it is closed")
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        get(f"{url}/healthz")
    assert "Back soon" in refused.value.read().decode()
    person("maintenance", "on", "--allow", "127.0.0.0/8", "--allow", "198.18.0.0/16")
    until(lambda: status(url) == 200, "we are let through")
    person("maintenance", "on", "--allow", "192.0.2.7")
    until(lambda: status(url) == 503, "others aren't")
    person("maintenance", "off")
    until(lambda: status(url) == 200, "it is open")


def test_another_terminal_takes_back_what_nobody_drives_any_more(aws: Simulator, person: Person) -> None:
    commit(person.app, {"Procfile": WEB + HANGS})
    driver = person.begin("deploy")
    until(lambda: "begun" in person("logs", "--instance", "errands-release-d4"), "its release task runs")
    driver.send_signal(signal.SIGKILL)
    ended(driver)
    said = person("deployment", "abort", "--why", "it hangs")
    assert "it hangs; the release task was interrupted: what it did can't be known" in said
    assert "told to end" in said
    assert launched_for(aws, "errands-release-d4") == ["terminated"]
    assert releases(person) == {"r3"}
