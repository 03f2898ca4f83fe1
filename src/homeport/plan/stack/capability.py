"""What CloudFormation wants to be told that it may do for a template. Called by `stacks.planner`."""

from typing import Any

from homeport.model.stack import Template


def capabilities(template: Template) -> tuple[str, ...]:
    """Those that CloudFormation will ask for, sorted: named IAM resources, macros, nested stacks."""
    found: set[str] = set()
    resources = [each for each in template.get("Resources", {}).values() if isinstance(each, dict)]
    for each in resources:
        kind, properties = str(each.get("Type", "")), each.get("Properties", {})
        if kind.startswith("AWS::IAM::"):
            names = {"RoleName", "UserName", "GroupName", "ManagedPolicyName", "InstanceProfileName"}
            named = isinstance(properties, dict) and bool(names & properties.keys())
            found.add("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
        if kind == "AWS::CloudFormation::Stack":
            found |= {"CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"}  # what is in it isn't read here
    if "Transform" in template or _calls_macro(template):
        found.add("CAPABILITY_AUTO_EXPAND")
    return tuple(sorted(found - ({"CAPABILITY_IAM"} if "CAPABILITY_NAMED_IAM" in found else set())))


def _calls_macro(value: Any) -> bool:
    match value:
        case dict():
            return "Fn::Transform" in value or any(_calls_macro(each) for each in value.values())
        case list():
            return any(_calls_macro(each) for each in value)
    return False
