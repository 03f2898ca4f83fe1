"""`homeport stack` as a person types it, on the scripted CloudFormation kept in a file: plan, apply, and what happens
when the program is killed before and after each call that changes something there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from homeport.model.stack import Status
from homeport.testing.cloudformation_state import World
from tests.stack_project import ACCOUNT, FILES, SETTINGS, Site

SECONDS = 60
LABELS = {
    "stack.ask",
    "stack.discard",
    "stack.execute",
    "stack.delete",
    "stack.set_policy",
    "stack.protect",
    "stack.upload",
    "stack_history.begin",
    "stack_history.end",
}
MOST_RUNS = 80


class Person:
    """Types commands in the directory of a project. `world`: what the scripted CloudFormation keeps."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.site = Site(root, files)
        self.root = root
        self.file = root / "world.json"
        self.environ = {**os.environ, "HOMEPORT_HOME": str(root / "home"), "HOMEPORT_CLOUD": f"fake:{self.file}"}

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "homeport", "stack", *words),
            cwd=self.root,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        done = self.run(*words)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @property
    def world(self) -> World:
        return msgspec.json.decode(self.file.read_bytes(), type=World)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path, FILES)


def test_plan_review_apply(person: Person) -> None:
    assert "network" in person("list")
    assert "web  ← network" in person("tree")
    assert "!stack_output network/VpcId  stacks/web.yaml:2:19" in person("why", "web", "Vpc")
    said = person("plan", "--out", "plan.json", "--exit-code", code=10)
    assert "+ Vpc: (known after apply: network/VpcId)" in said
    assert "3 to create" in said
    assert "nobody is here to confirm it" in person("apply", code=2)
    said = person("apply", "plan.json")
    assert "network  Vpc  AWS::EC2::VPC  CREATE_COMPLETE" in said
    assert "3 stacks changed" in said
    assert "the world moved since the plan was made; nothing was applied" in person("apply", "plan.json", code=4)
    assert json.loads(person("plan", "--exit-code", "--json"))["stacks"][0]["action"] == "none"
    assert "nothing to do" in person("apply")

    person.site.edit("data.yaml", "template:", "parameters: {Name: b}\ntemplate:")
    assert "Table  AWS::DynamoDB::Table  made anew  PROTECTED: it holds data" in person("plan", "data")
    assert "--allow-replace data/Table" in person("apply", "data", "--yes", code=4)
    result = json.loads(person("apply", "data", "--yes", "--json", "--allow-replace", "data/Table"))
    assert result["results"] == [{"id": "data", "outcome": "done", "reason": ""}]


def test_what_goes_wrong_has_its_exit_code(person: Person) -> None:
    assert "no stack 'wbe', did you mean web?" in person("plan", "wbe", code=3)
    person.site.edit("web.yaml", "{Vpc", "{Vcp")
    said = person("plan", code=2)
    assert 'the template has no parameter Vcp, did you mean "Vpc"?' in said
    assert "2 to create, 1 that can't be planned" in said
    assert "nothing was applied" in person("apply", "--yes", code=2)
    person.site.edit("web.yaml", "{Vcp", "{Vpc")
    person.site.edit("templates/web.yaml", "Resources", "Resuorces")
    assert "no section 'Resuorces' in a template, did you mean \"Resources\"?" in person("compile", "web", code=2)
    done = person.run("plan", HOMEPORT_CLOUD="nowhere")
    assert (done.returncode, "no cloud 'nowhere' is installed" in done.stderr) == (5, True)
    bare = {"HOMEPORT_CLOUD": "aws", "HOME": str(person.root), "AWS_EC2_METADATA_DISABLED": "true"}
    done = person.run("plan", "data", **bare)
    assert (done.returncode, "no credentials for AWS" in done.stderr) == (2, True)


def test_a_lone_template_is_compiled_without_a_project(tmp_path: Path) -> None:
    person = Person(tmp_path, {})
    path = tmp_path / "a.yaml"
    path.write_text("# kept\nResources:\n  A: {Type: 'AWS::SNS::Topic', Properties: {DisplayName: !Ref AWS::Region}}\n")
    assert person("compile", "--template", "a.yaml") == path.read_text()
    body = json.loads(person("compile", "--template", "a.yaml", "--json"))
    assert body["Resources"]["A"]["Properties"] == {"DisplayName": {"Ref": "AWS::Region"}}
    (tmp_path / "a.json").write_text(json.dumps(body))
    assert "DisplayName: !Ref AWS::Region" in person("compile", "--template", "a.json")


def apply_killed(person: Person, points: Path) -> None:
    """Until it gets through."""
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        done = person.run("apply", "--yes", HOMEPORT_CRASH="each", HOMEPORT_CRASH_ONCE=str(points))
        codes.append(done.returncode)
        assert done.returncode in (0, 4, -signal.SIGKILL), done.stderr  # 4: CloudFormation is still at work on it
        assert len(codes) < MOST_RUNS


def test_apply_is_killed_everywhere_and_gets_there(tmp_path: Path) -> None:
    topic = "Resources:\n  A: {Type: 'AWS::SNS::Topic'}\n"
    settings = "template: templates/a\npolicy: templates/policy\ntermination_protection: true\n"
    files = {
        "config.yaml": f"{SETTINGS}bucket: templates\n",
        "a.yaml": settings,
        "templates/a": f"{topic}  B: {{Type: 'AWS::CloudFormation::Stack', Properties: {{TemplateURL: b}}}}\n",
        "templates/b": topic,
        "templates/policy": "{Statement: []}",
    }
    person = Person(tmp_path, {**files, "old.yaml": "template: templates/b\n"})
    person("apply", "old", "--yes")
    person.site.edit("old.yaml", "template:", "obsolete: true\ntemplate:")
    points = tmp_path / "points"
    points.mkdir()
    apply_killed(person, points)
    person.site.edit("templates/a", "B:", "C: {Type: 'AWS::SNS::Topic'}\n  B:")
    apply_killed(person, points)  # the change set is made at once now, and so the end is reached
    reached = {path.name.partition(":")[0] for path in points.iterdir()}
    assert reached >= LABELS
    world = person.world
    state, nested = world.stacks.values()
    assert nested.parent == state.id
    assert (state.name, state.status) == ("a", Status.UPDATE_COMPLETE)
    assert (state.policy, state.termination_protection, state.asked) == ('{"Statement":[]}', True, {})
    assert next(iter(world.stacks)) == f"{ACCOUNT}/eu-west-1/a"


def test_history_twin_prune_and_delete(tmp_path: Path) -> None:
    person = Person(tmp_path, {})
    person("init", "--account", ACCOUNT, "--project", "shop")
    person("apply", "--yes", "--why", "the first")
    assert person("outputs", "alarms", "--name", "TopicArn").startswith("alarms-Topic-")
    assert "CREATE_COMPLETE  " in person("status", "--exit-code")
    assert "Topic     AWS::SNS::Topic  CREATE_COMPLETE" in person("resources")
    assert "alarms  Topic  AWS::SNS::Topic  CREATE_COMPLETE" in person("events", "alarms", "--follow")
    person.site.edit("alarms.yaml", "-alarms", "-bells")
    assert "yes: replace" in person("status", "--exit-code", code=10)
    person("apply", "--yes", "--why", "bells are louder")
    said = person("history", "alarms")
    assert "the first" in said
    assert "bells are louder" in said
    assert "why: bells are louder" in person("show", "alarms", "2")
    assert json.loads(person("show", "alarms", "1", "--json"))["begun"]["parameters"] == {"Name": "alarms-alarms"}
    assert person("show", "alarms", "1", "--template").startswith("Parameters:")
    assert "Name: alarms-bells → alarms-alarms" in person("plan", "alarms", "--to", "1")
    person("apply", "alarms", "--to", "1", "--yes")
    assert person.world.stacks[f"{ACCOUNT}/eu-west-1/alarms"].contents.parameters == {"Name": "alarms-alarms"}

    assert "stacks/alarms-2.yaml is like alarms" in person("twin", "alarms", "-p", "Name=twin")
    person("apply", "--yes")
    twin = person.world.stacks[f"{ACCOUNT}/eu-west-1/alarms-2"]
    assert (twin.contents.parameters, twin.contents.tags["homeport:stack"]) == ({"Name": "twin"}, "alarms-2")
    (person.site.root / "alarms-2.yaml").unlink()
    assert "alarms-2  done" in person("prune", "--yes")
    assert "as deployed" in person("drift", "--exit-code")
    person("delete", "alarms", "--yes")
    assert "  delete   done" in person("history", "alarms")
    assert person.world.stacks == {}
