"""Nested stacks: packaged by their content, planned and followed as far as they go; large templates by the bucket."""

from pathlib import Path

import pytest

from homeport.errors import HomeportError
from homeport.model.stack_plan import Action
from homeport.stacks.apply import Outcome, Wishes
from homeport.stacks.standing import orphans
from tests.stack_project import SETTINGS, Site

SITE = """
Parameters: {Size: {Type: String, Default: small}}
Resources:
  Net: {Type: "AWS::CloudFormation::Stack", Properties: {TemplateURL: parts/net.yaml}}
  Web:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: parts/web.yaml
      Parameters: {Vpc: !GetAtt Net.Outputs.Vpc, Size: !Ref Size}
Outputs: {Group: {Value: !GetAtt Web.Outputs.Group}}
"""
NET = """
Resources: {Vpc: {Type: "AWS::EC2::VPC", Properties: {CidrBlock: 10.0.0.0/16}}}
Outputs: {Vpc: {Value: !Ref Vpc}}
"""
WEB = """
Parameters: {Vpc: {Type: String}, Size: {Type: String}}
Resources:
  Group:
    Type: AWS::EC2::SecurityGroup
    Properties: {VpcId: !Ref Vpc, GroupDescription: web, Tags: [{Key: size, Value: !Ref Size}]}
  Table: {Type: "AWS::DynamoDB::Table", Properties: {TableName: !Sub "t-${Size}"}}
Outputs: {Group: {Value: !Ref Group}}
"""
FILES = {
    "config.yaml": f"{SETTINGS}bucket: templates\n",
    "site.yaml": "template: templates/site.yaml\n",
    "templates/site.yaml": SITE,
    "templates/parts/net.yaml": NET,
    "templates/parts/web.yaml": WEB,
}


def test_nested_stacks_are_made_planned_and_gone(tmp_path: Path) -> None:
    site = Site(tmp_path, FILES)
    plan = site.one("site")
    assert [each.logical_id for each in plan.resources] == ["Net", "Web", "Net/Vpc", "Web/Group", "Web/Table"]
    assert site.apply()["site"].outcome is Outcome.DONE
    assert site.one("site").action is Action.NONE
    objects = dict(site.cloud.world.objects)
    assert len(objects) == 2
    vpc = site.cloud.stack("site").contents.attributes["Net.Outputs.Vpc"]
    group = next(state for state in site.cloud.world.stacks.values() if "Web" in state.name)
    assert group.contents.parameters == {"Vpc": vpc, "Size": "small"}
    told = [what.logical_id for _, what in site.said if not isinstance(what, str)]
    assert "Group" in told
    assert "Vpc" in told

    site.edit("templates/parts/web.yaml", "GroupDescription: web", "GroupDescription: other")
    changed = site.one("site")
    assert (changed.action, [each.logical_id for each in changed.replaced]) == (Action.REPLACE, ["Web/Group"])
    assert site.apply()["site"].outcome is Outcome.DONE
    assert len(site.cloud.world.objects) == len(objects) + 1
    assert site.one("site").action is Action.NONE

    site.edit("site.yaml", "template:", "obsolete: true\ntemplate:")
    assert site.one("site").protected == ("Web/Table",)
    site.apply(wishes=Wishes(allow=frozenset({"site/Web/Table"})))
    assert site.cloud.world.stacks == {}


def test_nested_stacks_are_nobodys_orphans(tmp_path: Path) -> None:
    site = Site(tmp_path, {**FILES, "config.yaml": f"{FILES['config.yaml']}project: shop\n"})
    site.apply()
    assert {each.contents.tags["homeport:project"] for each in site.cloud.world.stacks.values()} == {"shop"}
    assert orphans(site.planner()) == []


def test_a_table_in_a_nested_stack_is_protected(tmp_path: Path) -> None:
    site = Site(tmp_path, FILES)
    site.apply()
    site.edit("site.yaml", "template:", "parameters: {Size: large}\ntemplate:")
    assert site.one("site").protected == ("Web/Table",)
    with pytest.raises(HomeportError, match="site/Web/Table would be replaced or deleted"):
        site.apply()
    allowed = Wishes(allow=frozenset({"site/Web/Table"}))
    assert site.apply(wishes=allowed)["site"].outcome is Outcome.DONE


def test_what_a_nested_stack_s_change_set_says_is_reviewed(tmp_path: Path) -> None:
    site = Site(tmp_path, FILES)
    site.apply()
    site.edit("templates/parts/web.yaml", "Value: !Ref Size", "Value: other")
    site.cloud.replaces("site", "Web/Group")
    assert site.one("site").replaced == ()
    refused = site.apply(wishes=Wishes())["site"]
    assert refused.reason == "site: CloudFormation would replace Web/Group, which isn't in the plan"
    assert refused.error is not None
    assert refused.error.hint == "--allow-replace site/Web/Group"
    assert site.cloud.stack("site").asked == {}
    allowed = Wishes(allow=frozenset({"site/Web/Group"}))
    assert site.apply(wishes=allowed)["site"].outcome is Outcome.DONE


def test_nested_stacks_that_cloudformation_can_t_look_into(tmp_path: Path) -> None:
    """https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/759"""
    site = Site(tmp_path, FILES)
    site.apply()
    site.edit("templates/parts/web.yaml", "Value: !Ref Size", "Value: other")
    site.cloud.refuse_nested("site")
    assert site.apply(wishes=Wishes())["site"].outcome is Outcome.DONE
    assert site.one("site").action is Action.NONE


def test_what_failed_in_a_nested_stack_is_what_is_told(tmp_path: Path) -> None:
    site = Site(tmp_path, FILES)
    site.cloud.fail("site", "Web/Group", "The maximum number of security groups has been reached.")
    result = site.apply()["site"]
    assert result.reason == (
        "site: ROLLBACK_COMPLETE: Group (AWS::EC2::SecurityGroup) CREATE_FAILED: "
        "The maximum number of security groups has been reached."
    )
    assert site.apply()["site"].outcome is Outcome.DONE
    site.edit("site.yaml", "template:", "parameters: {Size: large}\ntemplate:")
    site.cloud.fail("site", "Web/Group", "Access denied")
    allowed = Wishes(allow=frozenset({"site/Web/Table"}))
    assert "UPDATE_FAILED: Access denied" in site.apply(wishes=allowed)["site"].reason
    assert site.one("site").action is not Action.NONE


def test_large_templates_go_by_the_bucket(tmp_path: Path) -> None:
    topics = "".join(
        f"  T{n}: {{Type: 'AWS::SNS::Topic', Properties: {{DisplayName: {'x' * 200}}}}}\n" for n in range(250)
    )
    files = {"config.yaml": SETTINGS, "big.yaml": "template: big.template\n", "big.template": f"Resources:\n{topics}"}
    site = Site(tmp_path, files)
    assert "more than 51,200 go by a bucket, and no bucket is stated" in site.plan().problems[0].message
    site.edit("config.yaml", "region:", "bucket: templates\nbucket_prefix: cfn/\nregion:")
    assert site.apply()["big"].outcome is Outcome.DONE
    assert [key.rpartition("/")[0] for key in site.cloud.world.objects] == ["templates/cfn"]
    site.edit("big.template", "x" * 200, "y" * 200)
    site.cloud.world.no_buckets.append("templates")
    assert "bucket does not exist" in site.apply()["big"].reason
    site.write({"big.template": f"Resources:\n{topics * 20}".replace("T", "U", 1)})
    assert "is there twice" in site.plan().problems[0].message
    site.write({"big.template": "Description: " + "x" * 1_100_000 + "\nResources: {}\n"})
    assert "CloudFormation takes 1,048,576" in site.plan().problems[0].message


def test_nested_mistakes(tmp_path: Path) -> None:
    site = Site(tmp_path, FILES)
    site.edit("config.yaml", "bucket: templates\n", "")
    assert "nests templates of this project, and no bucket is stated" in site.plan().problems[0].message
    site.edit("templates/site.yaml", "parts/net.yaml", "parts/nte.yaml")
    assert "no template stacks/templates/parts/nte.yaml" in site.plan().problems[0].message
    site.edit("templates/site.yaml", "parts/nte.yaml", "site.yaml")
    assert "templates nest each other in a circle" in site.plan().problems[0].message
