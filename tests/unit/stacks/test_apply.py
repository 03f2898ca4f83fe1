"""Plans are carried out on the scripted CloudFormation: in order, side by side, through failures and bad weather."""

from pathlib import Path

import pytest

from homeport.errors import Conflict, Invalid
from homeport.model.stack import ChangeRequest, ChangeSetStatus, Status, Target
from homeport.model.stack_plan import Action
from homeport.stacks import saved
from homeport.stacks.apply import Outcome, Wishes
from homeport.testing.cloudformation_api import FakeCloudFormation
from tests.stack_project import FILES, NETWORK, SETTINGS, Site

BUCKET = """
Parameters: {Tag: {Type: String, Default: a}}
Resources:
  Topic: {Type: "AWS::SNS::Topic", Properties: {DisplayName: !Ref Tag}}
  Queue: {Type: "AWS::SNS::Topic", Properties: {DisplayName: !Ref Tag}}
"""


def events_of(site: Site, id: str) -> list[str]:
    return [f"{what.logical_id} {what.status}" for one, what in site.said if one == id and not isinstance(what, str)]


def test_a_failure_stops_dependents_and_nobody_else(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cloud.fail("network", "Vpc", "The maximum number of VPCs has been reached.")
    results = site.apply()
    assert {id: each.outcome for id, each in results.items()} == {
        "data": Outcome.DONE,
        "network": Outcome.FAILED,
        "web": Outcome.SKIPPED,
    }
    assert results["network"].reason == (
        "network: ROLLBACK_COMPLETE: Vpc (AWS::EC2::VPC) CREATE_FAILED: The maximum number of VPCs has been reached."
    )
    assert events_of(site, "network")[-1] == "network ROLLBACK_COMPLETE"


def test_what_failed_at_its_creation_is_made_anew(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cloud.fail("network", "Vpc", "no")
    site.apply("network")
    first = site.cloud.stack("network").id
    assert site.one("network").action is Action.RECREATE
    assert site.apply()["web"].outcome is Outcome.DONE
    assert site.cloud.stack("network").id != first
    assert site.cloud.stack("network").status is Status.CREATE_COMPLETE


def test_the_first_real_failure_is_told_not_the_cascade(tmp_path: Path) -> None:
    site = Site(tmp_path, {"config.yaml": SETTINGS, "a.yaml": "template: templates/a\n", "templates/a": BUCKET})
    site.apply()
    site.edit("a.yaml", "template:", "parameters: {Tag: b}\ntemplate:")
    site.cloud.fail("a", "Queue", "Access denied")
    result = site.apply()["a"]
    assert result.reason == "a: UPDATE_ROLLBACK_COMPLETE: Queue (AWS::SNS::Topic) UPDATE_FAILED: Access denied"
    assert "Topic UPDATE_FAILED" in events_of(site, "a")
    assert site.cloud.stack("a").contents.parameters == {}
    assert site.one("a").action is Action.UPDATE


def test_nothing_is_done_where_a_protected_resource_would_go(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("data.yaml", "template:", "parameters: {Name: b}\ntemplate:")
    site.cloud.calls.clear()
    with pytest.raises(Conflict, match="data/Table would be replaced or deleted") as refused:
        site.apply()
    assert refused.value.hint == "--allow-replace data/Table"
    assert "create_change_set" not in site.cloud.calls
    allowed = Wishes(allow=frozenset({"data/Table"}))
    assert site.apply(wishes=allowed)["data"].outcome is Outcome.DONE


def test_a_replacement_that_nobody_planned_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("web.yaml", "parameters: {", "parameters: {Size: large, ")
    site.cloud.replaces("web", "Group")
    refused = site.apply(wishes=Wishes())["web"]
    assert "would replace Group, which isn't in the plan" in refused.reason
    assert site.cloud.stack("web").status is Status.CREATE_COMPLETE
    assert site.cloud.stack("web").asked == {}
    assert site.apply()["web"].outcome is Outcome.DONE


def test_a_change_set_without_changes_is_no_failure(tmp_path: Path) -> None:
    macro = f"Transform: Some::Macro\n{BUCKET}"
    site = Site(tmp_path, {"config.yaml": SETTINGS, "a.yaml": "template: templates/a\n", "templates/a": macro})
    site.apply()
    site.write({"templates/a": f"Metadata: {{Macros: may do anything with it}}\n{macro}"})
    assert site.one("a").action is Action.UPDATE
    assert site.apply()["a"].outcome is Outcome.UNCHANGED
    assert site.cloud.stack("a").asked == {}


def test_throttling_lag_and_a_lost_network_are_sat_out(tmp_path: Path) -> None:
    site = Site(tmp_path)
    planner = site.planner()
    plan = planner.plan(("network",))
    applier = site.applier(planner)
    pause = site.clock.pause
    weather = iter([lambda: site.cloud.throttle(3), lambda: site.cloud.lag(4), lambda: site.cloud.offline(5)])

    def stormy(seconds: float) -> None:
        pause(seconds)
        next(weather, lambda: None)()

    applier._pause = stormy
    (result,) = applier.apply(plan, Wishes())
    assert (result.outcome, result.reason) == (Outcome.DONE, "")
    assert site.cloud.stack("network").status is Status.CREATE_COMPLETE


def test_a_cloud_out_of_reach_for_long_is_told_as_it_is(tmp_path: Path) -> None:
    site = Site(tmp_path)
    planner = site.planner()
    plan = planner.plan(("network",))
    applier = site.applier(planner)

    def gone(seconds: float) -> None:
        site.clock.pause(seconds)
        site.cloud.offline(10)

    applier._pause = gone
    (result,) = applier.apply(plan, Wishes())
    assert "what was begun goes on there" in result.reason


def test_stop_begins_nothing_new_and_cancel_takes_an_update_back(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("network.yaml", "template:", "parameters: {Cidr: 10.1.0.0/16}\ntemplate:")
    planner = site.planner()
    plan = planner.plan(planner.project.entries)
    applier = site.applier(planner)
    looks = iter(range(100))

    def interrupted(seconds: float) -> None:
        if next(looks) == 1:
            applier.stop()

    applier._pause = interrupted
    results = {each.id: each.outcome for each in applier.apply(plan, Wishes(surprises=True))}
    assert results == {"network": Outcome.FAILED, "web": Outcome.SKIPPED}
    assert applier.cancel() == ("network",)
    site.cloud.settle()
    assert site.cloud.stack("network").status is Status.UPDATE_ROLLBACK_COMPLETE
    assert site.one("network").action is Action.REPLACE


def test_a_plan_file_is_applied_as_reviewed_or_not_at_all(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply("network")
    file = tmp_path / "plan.json"
    reviewed = site.plan()
    saved.write(reviewed, file)
    assert saved.read(file).plan == reviewed
    saved.check_same(reviewed, site.plan())

    site.edit("web.yaml", "parameters: {", "parameters: {Size: large, ")
    with pytest.raises(Conflict) as moved:
        saved.check_same(reviewed, site.plan())
    assert moved.value.details == ("web: the project says something else now",)

    site.edit("web.yaml", "Size: large, ", "")
    site.cloud.stack("network").contents.tags = {"somebody": "else"}
    with pytest.raises(Conflict) as moved:
        saved.check_same(reviewed, site.plan())
    assert moved.value.details == ("network: what is deployed was changed by somebody",)

    file.write_text(file.read_text().replace('"create"', '"delete"', 1))
    with pytest.raises(Invalid, match="was edited since it was written"):
        saved.read(file)
    file.write_text("{")
    with pytest.raises(Invalid, match="isn't a plan file"):
        saved.read(file)


def test_many_stacks_side_by_side(tmp_path: Path) -> None:
    files = {f"s{number}.yaml": "template: templates/a\n" for number in range(12)}
    site = Site(tmp_path, {"config.yaml": SETTINGS, "templates/a": BUCKET, **files})
    results = site.apply(wishes=Wishes(at_once=6))
    assert {each.outcome for each in results.values()} == {Outcome.DONE}
    assert {each.status for each in site.cloud.world.stacks.values()} == {Status.CREATE_COMPLETE}


SECRET = """
Parameters: {Password: {Type: String, NoEcho: true}}
Resources: {P: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Value: !Ref Password}}}
"""


def test_a_hidden_parameter_that_has_changed(tmp_path: Path) -> None:
    files = {"config.yaml": SETTINGS, "a.yaml": "template: t\nparameters: {Password: !env PW}\n", "t": SECRET}

    def applied(password: str, *, hidden: bool) -> Outcome | None:
        site.environ = {"PW": password}
        planner = site.planner()
        planner.hidden = hidden
        plan = planner.plan(("a",))
        (result,) = site.applier(planner).apply(plan, Wishes()) or (None,)
        return result and result.outcome

    site = Site(tmp_path, files)
    assert applied("one", hidden=True) is Outcome.DONE
    assert applied("two", hidden=False) is None
    assert applied("two", hidden=True) is Outcome.DONE
    assert site.cloud.stack("a").contents.parameters == {"Password": "two"}
    assert applied("two", hidden=True) is Outcome.UNCHANGED
    plan = site.one("a")
    assert plan.notes == ("Password: NoEcho, so that only CloudFormation can say whether it differs: --hidden",)


def test_an_output_of_another_account(tmp_path: Path) -> None:
    role = "arn:aws:iam::210987654321:role/reader"
    value = f"!stack_output_external {{stack: network, output: VpcId, role: '{role}'}}"
    site = Site(tmp_path, {**FILES, "web.yaml": f"template: templates/web.yaml\nparameters: {{Vpc: {value}}}\n"})
    theirs = site.cloud.cloudformation(Target("210987654321", "eu-west-1", role))
    request = ChangeRequest(stack="network", name="c", create=True, template=NETWORK, parameters={}, tags={})
    theirs.execute_change_set(_ready(theirs, theirs.create_change_set(request)), "token")
    site.cloud.settle()
    there = theirs.describe("network")
    assert there is not None
    (change,) = [each for each in site.one("web").parameters if each.name == "Vpc"]
    assert change.after == there.outputs["VpcId"]


def _ready(formation: FakeCloudFormation, id: str) -> str:
    while formation.change_set(id).status is ChangeSetStatus.PENDING:
        pass
    return id
