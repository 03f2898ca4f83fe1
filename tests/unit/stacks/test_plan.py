"""Plans of whole graphs on the scripted CloudFormation."""

from pathlib import Path

import pytest

from homeport.errors import Invalid
from homeport.model.secret import Secret
from homeport.model.stack import Replacement, Status
from homeport.model.stack_plan import Action, Change
from homeport.stacks.apply import Wishes
from tests.stack_project import SETTINGS, Site


def test_unknown_outputs_are_placeholders_until_they_are_there(tmp_path: Path) -> None:
    site = Site(tmp_path)
    plan = site.plan("network", "web")
    assert [(each.id, each.action) for each in plan.stacks] == [("network", Action.CREATE), ("web", Action.CREATE)]
    vpc = Change(name="Vpc", before=None, after="(known after apply: network/VpcId)")
    assert vpc in plan.stacks[1].parameters
    site.apply()
    assert {each.action for each in site.plan().stacks} == {Action.NONE}
    assert site.cloud.stack("web").contents.parameters["Vpc"] == site.cloud.stack("network").contents.physical["Vpc"]


def test_a_replacement_is_predicted_and_follows_references_across_stacks(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("network.yaml", "template:", "parameters: {Cidr: 10.1.0.0/16}\ntemplate:")
    network, web = site.one("network"), site.one("web")
    assert network.action is Action.REPLACE
    assert network.parameters == (Change(name="Cidr", before="10.0.0.0/16", after="10.1.0.0/16"),)
    (vpc,) = network.resources
    assert (vpc.logical_id, vpc.replacement) == ("Vpc", Replacement.YES)
    assert vpc.causes == ('CidrBlock: "10.0.0.0/16" → "10.1.0.0/16"',)
    assert network.consumers == ("web",)
    assert web.action is Action.REPLACE
    assert web.resources[0].replacement is Replacement.MAYBE
    results = site.apply()
    assert {each.outcome for each in results.values()} == {"done"}
    assert site.cloud.stack("web").contents.parameters["Vpc"] == site.cloud.stack("network").contents.physical["Vpc"]


def test_a_change_in_place_keeps_outputs_known(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("templates/network.yaml", "CidrBlock", "EnableDnsSupport: true, CidrBlock")
    assert site.one("network").action is Action.UPDATE
    assert site.one("web").action is Action.NONE


def test_what_reads_otherwise_but_means_the_same_is_no_change(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.write({"templates/network.yaml": "# said otherwise\n" + (site.root / "templates/network.yaml").read_text()})
    site.edit("templates/network.yaml", "!Ref Cidr", '!Sub "${Cidr}"')
    network = site.one("network")
    assert (network.action, network.resources) == (Action.NONE, ())
    assert "reads otherwise" in network.notes[0]


def test_tags_settings_and_policy_are_compared(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.write({"policy.json": '{"Statement": []}'})
    site.edit(
        "data.yaml", "template:", "tags: {team: web}\npolicy: policy.json\ntermination_protection: true\ntemplate:"
    )
    data = site.one("data")
    assert data.action is Action.UPDATE
    assert data.tags == (Change(name="team", before=None, after="web"),)
    assert {each.name for each in data.settings} == {"policy", "termination_protection"}
    site.apply()
    state = site.cloud.stack("data")
    assert (state.policy, state.termination_protection) == ('{"Statement":[]}', True)
    assert site.one("data").action is Action.NONE


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    template = """
Parameters: {Password: {Type: String, NoEcho: true}, Token: {Type: String}}
Resources: {A: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Value: !Ref Token, Name: !Ref Password}}}
"""
    parameters = "parameters: {Password: !env {name: PW}, Token: !ssm_parameter /token}\n"
    files = {"config.yaml": SETTINGS, "a.yaml": f"template: templates/t\n{parameters}", "templates/t": template}
    site = Site(tmp_path, files, environ={"PW": "hunter2"})
    site.cloud.values["parameter /token"] = Secret("swordfish")
    plan = site.plan()
    assert {each.after for each in plan.stacks[0].parameters} == {"***"}
    assert "hunter2" not in repr(plan)
    assert "swordfish" not in repr(plan)
    site.apply()
    assert site.cloud.stack("a").contents.parameters == {"Password": "hunter2", "Token": "swordfish"}
    unchanged = site.one("a")
    assert unchanged.action is Action.NONE
    assert "NoEcho" in unchanged.notes[0]
    site.cloud.values["parameter /token"] = Secret("halibut")
    changed = site.one("a")
    assert changed.action is Action.UPDATE
    assert changed.parameters == (Change(name="Token", before="***", after="***"),)
    assert "swordfish" not in repr(changed)
    assert "halibut" not in repr(changed)


def test_a_protected_resource_is_marked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("data.yaml", "template:", "parameters: {Name: b}\ntemplate:")
    data = site.one("data")
    assert (data.action, data.protected) == (Action.REPLACE, ("Table",))


@pytest.mark.parametrize(
    ("status", "action"),
    [
        (Status.REVIEW_IN_PROGRESS, Action.CREATE),
        (Status.ROLLBACK_COMPLETE, Action.RECREATE),
        (Status.CREATE_FAILED, Action.BLOCKED),
        (Status.DELETE_FAILED, Action.BLOCKED),
        (Status.UPDATE_ROLLBACK_FAILED, Action.BLOCKED),
        (Status.UPDATE_IN_PROGRESS, Action.BLOCKED),
        (Status.UPDATE_ROLLBACK_COMPLETE, Action.NONE),
        (Status.IMPORT_COMPLETE, Action.NONE),
    ],
)
def test_what_each_status_means(tmp_path: Path, status: Status, action: Action) -> None:
    site = Site(tmp_path)
    site.apply("data")
    site.cloud.stack("data").status = status
    assert site.one("data").action is action


def test_obsolete_stacks_go_after_those_that_need_them(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    for name in ("network", "web"):
        site.edit(f"{name}.yaml", "template:", "obsolete: true\ntemplate:")
    plan = site.plan()
    assert [(each.id, each.action) for each in plan.stacks if each.changes] == [
        ("web", Action.DELETE),
        ("network", Action.DELETE),
    ]
    site.apply()
    assert [key.rpartition("/")[2] for key in site.cloud.world.stacks] == ["data"]
    assert {each.action for each in site.plan().stacks} == {Action.NONE}


def test_deleting_a_table_needs_its_name(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply("data")
    site.edit("data.yaml", "template:", "obsolete: true\ntemplate:")
    assert site.one("data").protected == ("Table",)
    site.apply("data", wishes=Wishes(allow=frozenset({"data/Table"})))
    assert site.one("data").action is Action.NONE


def test_one_problem_is_nobody_elses(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.edit("network.yaml", "template:", "parameters: {Cdir: x}\ntemplate:")
    plan = site.plan()
    assert [each.id for each in plan.stacks] == ["data"]
    problems = {each.id: each.message for each in plan.problems}
    assert problems["network"] == 'network: the template has no parameter Cdir, did you mean "Cidr"?'
    assert "needs network, which can't be planned" in problems["web"]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("web.yaml", "VpcId", "VpcIp"), 'network has no output VpcIp, did you mean "VpcId"?'),
        (
            ("web.yaml", "network/", "netwrok/"),
            "refers to the stack 'netwrok', which isn't there, did you mean network?",
        ),
        (("web.yaml", "!stack_output", "!stack_outpt"), 'no resolver !stack_outpt, did you mean "stack_output"?'),
        (("web.yaml", "{Vpc: !stack_output network/VpcId}", "{}"), "web: Vpc has no value"),
        (("web.yaml", "templates/web", "templates/wbe"), "no template stacks/templates/wbe.yaml"),
        (("templates/web.yaml", "!Ref Vpc", "!Rfe Vpc"), 'no function !Rfe, did you mean "Ref"?'),
        (("config.yaml", "123456789012", "999999999999"), "it belongs to account 999999999999, and the credentials"),
        (("config.yaml", 'account: "123456789012"', ""), "it states no account"),
    ],
)
def test_each_mistake_has_its_message(tmp_path: Path, edit: tuple[str, str, str], expected: str) -> None:
    site = Site(tmp_path)
    site.edit(*edit)
    messages = {each.id: each.message for each in site.plan().problems}
    assert expected in messages["web"]


def test_needs_in_a_circle_are_shown_as_a_path(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.edit("network.yaml", "template:", "depends_on: [web]\ntemplate:")
    with pytest.raises(Invalid, match="in a circle: network → web → network"):
        site.plan()


def test_what_needs_a_stack_outside_the_plan_reads_what_stands(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert "network isn't there yet" in site.plan("web").problems[0].message
    site.apply("network")
    assert site.plan("web").stacks[0].action is Action.CREATE


def test_credentials_that_expired_change_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.cloud.expire()
    plan = site.plan("data")
    assert (plan.problems[0].kind, plan.problems[0].message) == ("invalid", "data: the credentials are expired")


def test_loops_go_by_what_the_stack_gives(tmp_path: Path) -> None:
    template = """
Parameters: {Names: {Type: CommaDelimitedList, Default: "a,b,c"}}
Resources: {T: {Type: "AWS::SNS::Topic", ForEach: !Ref Names, Properties: {DisplayName: $Identifier}}}
"""
    files = {"config.yaml": SETTINGS, "t": template, "a.yaml": "template: t\n"}
    site = Site(tmp_path, {**files, "b.yaml": "template: t\nparameters: {Names: [x, y]}\n"})
    assert [each.logical_id for each in site.one("a").resources] == ["T0", "T1", "T2"]
    assert [each.logical_id for each in site.one("b").resources] == ["T0", "T1"]
    site.write({"b.yaml": "template: t\nparameters: {Names: !env NAMES}\n"})
    assert "ForEach needs a list that is known" in site.plan("b").problems[0].message


@pytest.mark.parametrize(
    ("weather", "kind", "expected"),
    [
        ("throttle", "unavailable", "CloudFormation throttles"),
        ("offline", "unavailable", "no network"),
        ("expire", "invalid", "the credentials are expired"),
    ],
)
def test_a_cloud_that_refuses_is_told_as_it_is(tmp_path: Path, weather: str, kind: str, expected: str) -> None:
    site = Site(tmp_path)
    getattr(site.cloud, weather)(10)
    problem = site.plan("data").problems[0]
    assert (problem.kind, expected in problem.message) == (kind, True)
    assert site.cloud.world.stacks == {}


def test_loops_of_cloudformations_own_are_one_change(tmp_path: Path) -> None:
    template = """
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Topics:
    - Name
    - [a, b]
    - "Topic${Name}": {Type: "AWS::SNS::Topic", Properties: {DisplayName: !Sub "${Name}"}}
Outputs:
  Fn::ForEach::Out:
    - Name
    - [a, b]
    - "Arn${Name}": {Value: !Ref "Topic${Name}"}
"""
    site = Site(tmp_path, {"config.yaml": SETTINGS, "t": template, "a.yaml": "template: t\n"})
    (loop,) = site.one("a").resources
    assert (loop.logical_id, loop.type) == ("Fn::ForEach::Topics", "Fn::ForEach")
    site.apply()
    assert site.one("a").action is Action.NONE
    site.edit("t", "- [a, b]", "- [a, b, c]")
    (loop,) = site.one("a").resources
    assert loop.causes[0] == 'Loop[1]: ["a","b"] → ["a","b","c"]'
