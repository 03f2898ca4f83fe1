"""All that is said against stacks without asking any cloud."""

import os
from pathlib import Path

import pytest

from homeport.errors import HomeportError, Invalid, Unavailable
from homeport.model.finding import Finding
from homeport.plan.stack.sarif import sarif
from homeport.stacks import guard
from homeport.stacks.check import Checker
from tests.stack_project import SETTINGS, Site

RULE = """
def check_named(template, stack):
    for name, resource in template["Resources"].items():
        if "Tags" not in resource.get("Properties", {}):
            yield f"{name} has no tags in {stack.id}"
"""


def found(site: Site, *, linting: bool = False) -> list[Finding]:
    project = site.project
    return Checker(project, linting=linting).check(project.entries)


def rules(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.stack, each.rule) for each in findings]


def test_a_good_project_has_no_findings(tmp_path: Path) -> None:
    assert found(Site(tmp_path)) == []


def test_cfn_lint_speaks_of_lines_as_they_were_written(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.edit("templates/web.yaml", "GroupDescription: web", "GroupDescription: web, Nonsense: 1")
    module = "Modules: {M: {Source: m.yaml}}\n"
    site.write({"mod.yaml": "template: templates/mod.yaml\n", "templates/mod.yaml": module})
    site.write({"templates/m.yaml": "Resources: {T: {Type: 'AWS::SNS::Topic', Properties: {Other: 1}}}\n"})
    one, two = (each for each in found(site, linting=True) if each.rule == "cfn-lint/E3002" and each.stack != "data")
    assert (one.stack, one.file, one.line, one.rule) == ("mod", "stacks/templates/mod.yaml", 0, "cfn-lint/E3002")
    assert one.message.startswith("Resources/MT/Properties")
    assert (two.stack, two.file, two.line, two.rule) == ("web", "stacks/templates/web.yaml", 8, "cfn-lint/E3002")


def test_parameters_databases_accounts_and_unused_files(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.edit("web.yaml", "Vpc:", "Vcp:")
    site.write({"db.yaml": "template: templates/db.yaml\n", "templates/left.yaml": "a: b\n"})
    site.write({"templates/db.yaml": "Resources: {Db: {Type: 'AWS::RDS::DBInstance'}}\n"})
    site.write({"more.yaml": "template: templates/network.yaml\nparameters: {Cidr: !file files/cidr.json}\n"})
    site.write({"files/cidr.json": "10.0.0.0/16"})
    site.edit("config.yaml", 'account: "123456789012"\n', "")
    findings = found(site)
    assert [each for each in rules(findings) if each[1] != "homeport/account"] == [
        ("", "homeport/unused"),
        ("db", "homeport/database"),
        ("web", "homeport/parameter"),
        ("web", "homeport/parameter"),
    ]
    assert len([each for each in findings if each.rule == "homeport/account"]) == 5
    assert findings[0].file == "stacks/templates/left.yaml"
    site.edit("db.yaml", "template:", "protected: true\ntemplate:")
    assert ("db", "homeport/database") not in rules(found(site))


def test_what_can_not_be_read_has_its_place(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.edit("templates/web.yaml", "!Ref Vpc", "!Rfe Vpc")
    site.edit("data.yaml", "template:", "templat:")
    (data, web) = found(site)
    assert (data.file, data.line, data.column) == ("stacks/data.yaml", 1, 10)
    assert (web.file, web.line, web.message) == (
        "stacks/templates/web.yaml",
        8,
        'no function !Rfe, did you mean "Ref"?',
    )
    said = sarif([data, web], "1")
    (run,) = said["runs"]
    assert [each["id"] for each in run["tool"]["driver"]["rules"]] == ["homeport/invalid"]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 1, "startColumn": 10}


def test_rules_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    site.write({"rules/tags.py": RULE})
    assert [(each.rule, each.message) for each in found(site)] == [("tags/named", "Vpc has no tags in network")]
    site.write({"rules/tags.py": "def check_all(template, stack): return 1 / 0\n"})
    with pytest.raises(HomeportError, match=r"stacks/rules/tags.py: check_all: ZeroDivisionError"):
        found(site)


GUARD = """
let networks = Resources.*[ Type == 'AWS::EC2::VPC' ]
rule named when %networks !empty {
  %networks.Properties.Tags exists <<a network has tags>>
}
rule private when %networks !empty {
  %networks.Properties.CidrBlock == /^10\\./ or
  %networks.Properties.CidrBlock.Ref exists
  %networks.Properties.EnableDnsSupport == true
}
"""


def test_rules_of_cfn_guard(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write({"rules/own.guard": GUARD})
    assert [(each.stack, each.rule, each.message) for each in found(site)] == [
        ("network", "guard/named", "Resources/Vpc/Properties: a network has tags"),
        (
            "network",
            "guard/private",
            "Resources/Vpc/Properties: %networks[*].Properties.EnableDnsSupport EQUALS true",
        ),
    ]
    site.edit(
        "templates/network.yaml", "{CidrBlock:", "{EnableDnsSupport: true, Tags: [{Key: a, Value: b}], CidrBlock:"
    )
    assert found(site) == []
    site.write({"rules/own.guard": "rule named { Resources ==\n"})
    with pytest.raises(Invalid, match=r"stacks/rules/own.guard: .*at line 1"):
        found(site)


def test_cfn_guard_as_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    site.write({"rules/own.guard": GUARD})
    program = tmp_path / "cfn-guard"
    program.write_text("#!/bin/sh\necho Resource FAILED\nexit 19\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert {(each.rule, each.message) for each in found(site)} == {("guard/own", "Resource FAILED")}
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setattr(guard, "LIBRARY", "no_such_module")
    with pytest.raises(Unavailable, match="cfn-guard, which isn't installed") as refused:
        found(site)
    assert "pip install cfn-guard-rs" in (refused.value.hint or "")


def test_a_stack_without_a_bucket_that_needs_one(tmp_path: Path) -> None:
    nested = "Resources: {N: {Type: 'AWS::CloudFormation::Stack', Properties: {TemplateURL: templates/network.yaml}}}\n"
    site = Site(tmp_path)
    site.write({"config.yaml": SETTINGS, "site.yaml": "template: outer.template\n", "outer.template": nested})
    (finding,) = found(site)
    assert "no bucket is stated" in finding.message
