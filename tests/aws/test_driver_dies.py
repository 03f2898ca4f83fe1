"""Whoever makes, changes or removes an environment's stacks may be killed at each step: who comes next goes on from
there, and what stands in the end is what stands where nobody was killed."""

import os
import pty
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from homeport.simulation.aws.service import Application, Knock
from homeport.simulation.aws.simulator import Simulator
from tests.app_repository import commit
from tests.aws import environment
from tests.aws.environment import FILE, get, public
from tests.aws.test_chain import inventory
from tests.e2e.person import Person

CUT, WHOLE = "cut", "whole"
"""Two platforms that differ in nothing else: drivers of the one are killed."""
HELD_SECONDS = 600
"""At most: several commands are typed meanwhile."""
NETWORK, POOL = "cut--production-network", "cut--production-cut-web"


class Executioner:
    """Kills a command at the so manieth call of an operation (or HTTP method, of S3's) that names something: before
    that is carried out, or when it was."""

    def __init__(self, aws: Simulator) -> None:
        self.aws = aws
        self.victim: subprocess.Popen[str] | None = None
        self.operation = self.named = self.hold = ""
        self.after = self.done = False
        self.left = 0
        self._go_on = threading.Event()

    @contextmanager
    def holding(self, operation: str) -> Iterator[None]:
        """What CloudFormation asks for by that operation waits meanwhile."""
        self._go_on.clear()
        self.hold = operation
        try:
            yield
        finally:
            self.hold = ""
            self._go_on.set()

    def __call__(self, knock: Knock, application: Application) -> Application:
        if self.hold and knock.operation == self.hold:
            self._go_on.wait(HELD_SECONDS)
        method = knock.path.partition(" ")[0]
        if self.done or self.operation not in (knock.operation, method) or self.named not in self._names(knock):
            return application
        self.left -= 1
        if self.left:
            return application
        self.done = True

        def killed(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            if self.after:
                list(application(environ, lambda *_: lambda _: None))
            assert self.victim is not None
            self.victim.kill()
            self.victim.wait()
            return knock.refusal("InternalFailure", "nobody is there to hear it", 500)(environ, start)

        return killed

    def _names(self, knock: Knock) -> str:
        """What a call is about. ExecuteChangeSet says no stack's name."""
        if knock.operation != "ExecuteChangeSet":
            return f"{knock.path} {knock.body.decode(errors='replace')}"
        formation = self.aws.client("cloudformation")
        try:
            return str(formation.describe_change_set(ChangeSetName=knock.form["ChangeSetName"])["StackName"])
        except ClientError:
            return ""


class Mortal:
    """A person whose commands are killed."""

    def __init__(self, aws: Simulator, person: Person) -> None:
        self.person = person
        self.executioner = Executioner(aws)

    def dies(self, words: str, operation: str, named: str, *, after: bool = False, time: int = 1) -> None:
        """Whatever is asked they say yes to."""
        found = self.executioner
        found.operation, found.named, found.after, found.left = operation, named, after, time
        typed, terminal = pty.openpty()
        try:
            os.write(typed, b"y\n")
            # the victim is known before it can have called anybody
            found.done, found.victim = False, self.person.begin(*words.split(), stdin=terminal)
            out = found.victim.communicate(timeout=120)
        finally:
            os.close(typed)
            os.close(terminal)
        assert found.done, f"{words} never came to {operation} of {named}: {out}"
        assert found.victim.returncode == -9, out


def owner(aws: Simulator, directory: Path, platform: str) -> Person:
    directory = directory / platform
    directory.mkdir()
    return environment.person_of(aws, directory, file(platform))


def file(platform: str) -> str:
    return FILE.replace('"plain"', f'"{platform}"')


@pytest.fixture
def whole(aws: Simulator, tmp_path: Path) -> Iterator[Person]:
    """Nobody kills what they type."""
    with environment.leaving(owner(aws, tmp_path, WHOLE)) as found:
        yield found


@pytest.fixture
def cut(aws: Simulator, tmp_path: Path) -> Iterator[Mortal]:
    found = Mortal(aws, owner(aws, tmp_path, CUT))
    aws.door.weather = found.executioner
    with environment.leaving(found.person):
        try:
            yield found
        finally:
            aws.door.weather = None


def stacks(aws: Simulator, platform: str) -> dict[str, Any]:
    """By what comes after the platform's name: how many change sets wait there, and each resource with how it ended."""
    formation, found = aws.client("cloudformation"), {}
    for each in formation.describe_stacks()["Stacks"]:
        name, start = each["StackName"], f"homeport-{platform}--"
        if name.startswith(start):
            waiting = len(formation.list_change_sets(StackName=name)["Summaries"])
            resources = formation.list_stack_resources(StackName=name)["StackResourceSummaries"]
            there = sorted((one["LogicalResourceId"], one["ResourceStatus"]) for one in resources)
            found[name.removeprefix(start).replace(platform, "app")] = (each["StackStatus"], waiting, there)
    return found


def status(aws: Simulator, stack: str) -> str:
    return str(stacks(aws, CUT)[stack][0])


def counted(aws: Simulator) -> Counter[str]:
    """How many there are of all that stacks of environments consist of."""
    kinds = ("vpcs", "subnets", "gateways", "security groups", "launch templates", "balancers", "target groups",
             "groups", "roles", "profiles")  # fmt: skip
    found = inventory(aws)
    return Counter({name: each if isinstance(each := found[name], int) else len(each) for name in kinds})


def kept(aws: Simulator, platform: str) -> set[str]:
    """Releases and deployments in the bucket."""
    bucket = f"homeport-{platform}-{aws.account}-{aws.region}"
    found = [each["Key"].split("/") for each in aws.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    numbers = (each[2:4] for each in found if each[:2] == [platform, "production"])
    return {"/".join(each) for each in numbers if each[0] == "deployments" or each[1] == "release.json"}


def ended(command: "subprocess.Popen[str]") -> None:
    said, wrong = command.communicate(timeout=120)
    assert command.returncode == 0, said + wrong


def test_up_comes_to_its_end_whoever_was_killed_on_the_way(aws: Simulator, cut: Mortal, whole: Person) -> None:
    nothing = counted(aws)
    uncut = whole.begin("up", "--yes")
    cut.dies("up", "CreateChangeSet", "cut--store", after=True)
    cut.dies("up", "ExecuteChangeSet", "cut--store")
    assert status(aws, "store") == "REVIEW_IN_PROGRESS"
    ended(uncut)
    one = counted(aws) - nothing
    with cut.executioner.holding("CreateVpc"):
        cut.dies("up", "ExecuteChangeSet", NETWORK, after=True)
        cut.dies("up", "DescribeStacks", NETWORK, time=3)
        assert status(aws, "production-network") == "CREATE_IN_PROGRESS", "that is waited for"
    cut.dies("up", "CreateChangeSet", POOL, after=True)
    cut.dies("up", "PUT", "cut/production/r1/release.json", after=True)
    cut.dies("up", "SetDesiredCapacity", POOL, after=True)
    stand, lies = stacks(aws, WHOLE), kept(aws, WHOLE)
    # while nobody knows yet that whoever had the lease is dead
    uncut = whole.begin("down", "--yes")
    said = cut.person("up", "--yes")
    ended(uncut)
    assert "deployment 1 of r1 of cut goes on" in said
    assert "cut r1 is good" in said
    assert get(public(aws, cut.person))
    assert stacks(aws, CUT) == stand
    assert kept(aws, CUT) == lies
    assert counted(aws) - nothing == one, "nothing is there twice"

    # the launch template gets another version
    commit(cut.person.app, {"homeport.toml": f'{file(CUT)}instance_type = "t3.medium"\n'})
    with cut.executioner.holding("CreateLaunchTemplateVersion"):
        cut.dies("deploy", "ExecuteChangeSet", POOL, after=True)
    cut.person("up", "--yes")
    assert get(public(aws, cut.person))
    assert stacks(aws, CUT)["production-app-web"][:2] == ("UPDATE_COMPLETE", 0)
    assert counted(aws) - nothing == one

    cut.dies("down --yes", "DeleteStack", NETWORK)
    said = cut.person("ps", code=3)
    assert "cut/production isn't up, but 1 of its stacks stands: network\n→ homeport down -e production" in said
    cut.dies("down --yes", "DeleteStack", NETWORK, after=True)
    cut.person("down", "--yes")
    assert stacks(aws, CUT).keys() == {"store"}
    assert counted(aws) == nothing
    assert "nothing to do" in cut.person("down", "--yes")
