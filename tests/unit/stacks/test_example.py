"""The shipped example, on the scripted CloudFormation: fourteen nested stacks out of six templates and their parent."""

from pathlib import Path

from homeport.model.finding import Level
from homeport.model.stack import Status
from homeport.model.stack_plan import Action
from homeport.stacks.apply import Applier, Outcome, Wishes
from homeport.stacks.check import Checker
from homeport.stacks.planner import Planner, Tools
from homeport.stacks.project import Project
from homeport.testing.cloudformation import FakeCloud
from tests.stack_project import PatientClock

ROOT = Path(__file__).parents[3] / "examples/stacks/stacks"
ACCOUNT = "222222222222"


def planner(cloud: FakeCloud) -> Planner:
    def encryption() -> None:
        raise AssertionError("nothing in it is encrypted")

    return Planner(Project(ROOT), Tools(cloud=lambda: cloud, encryption=encryption, environ={}))  # type: ignore[arg-type]


def test_the_example_is_planned_applied_and_left_alone(tmp_path: Path) -> None:
    cloud = FakeCloud(ACCOUNT)
    cloud.values["image of self name=site-*"] = "ami-1"
    cloud.values["certificate www.example.com"] = "arn:aws:acm:eu-west-1:222222222222:certificate/1"
    first = planner(cloud)
    plan = first.plan(("staging/site",))
    assert plan.problems == ()
    (site,) = plan.stacks
    added = [each.logical_id for each in site.resources]
    assert len([each for each in site.resources if each.type == "AWS::CloudFormation::Stack"]) == 14
    assert "Core/Zone1PrivateSubnet" in added
    assert "Web/Rule" in added
    assert "Jobs/Rule" not in added  # a condition that doesn't hold
    clock = PatientClock()
    (result,) = Applier(first, clock, clock.pause, lambda id, what: None).apply(plan, Wishes())
    assert result.outcome is Outcome.DONE
    assert {each.status for each in cloud.world.stacks.values()} == {Status.CREATE_COMPLETE}
    assert len(cloud.world.stacks) == 15
    assert len(cloud.world.objects) == 6
    (again,) = planner(cloud).plan(("staging/site",)).stacks
    assert again.action is Action.NONE
    cloud.values["image of self name=site-*"] = "ami-2"
    (changed,) = planner(cloud).plan(("staging/site",)).stacks
    assert (changed.action, changed.replaced) == (Action.UPDATE, ())
    assert "Api/Launch" in [each.logical_id for each in changed.resources]


def test_nothing_is_said_against_it() -> None:
    project = Project(ROOT)
    findings = Checker(project, linting=False).check(project.entries)
    assert [each for each in findings if each.level in (Level.ERROR, Level.WARNING)] == []
