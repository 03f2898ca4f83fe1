"""Resolvers that ask CloudFormation or another service of the stack's account and region."""

from collections.abc import Mapping

from homeport.errors import Invalid
from homeport.model.stack import Value
from homeport.stacks.resolver import Context, fields, plain


def stack_output(argument: Value, context: Context) -> Value:
    """`!stack_output network/VpcId`: of a stack of this project, whatever its account and region."""
    stack, _, output = plain(argument).rpartition("/")
    return context.output(stack, output)


def stack_output_external(argument: Value, context: Context) -> Value:
    """`!stack_output_external name/Output`, or {stack, output, region, role}: of a stack that isn't the project's;
    `role`: taken on for it, where it stands in another account."""
    region, role = "", ""
    if isinstance(argument, dict):
        said = fields(argument, "stack", "output", "region", "role")
        name, output = plain(said["stack"]), plain(said.get("output", ""))
        region, role = plain(said.get("region", "")), plain(said.get("role", ""))
    else:
        name, _, output = plain(argument).rpartition("/")
    if not name or not output:
        raise Invalid("expected stack/Output, or {stack, output, region, role}")
    return context.external_output(name, output, region, role)


def ssm_parameter(argument: Value, context: Context) -> Value:
    """`!ssm_parameter /shop/url`; a SecureString is a secret."""
    return context.lookup().parameter(plain(argument, "a parameter's name"))


def secrets_manager(argument: Value, context: Context) -> Value:
    """`!secrets_manager id`, or {id, key} for one entry of its JSON."""
    said = fields(argument, "id", "key")
    return context.lookup().secret(plain(said["id"]), plain(said.get("key", "")))


def latest_ami(argument: Value, context: Context) -> Value:
    """`!latest_ami {filters: {name: "web-*"}, owners: [self]}`."""
    said = fields(argument, "filters", "owners")
    filters = {key: _several(each) for key, each in _mapping(said["filters"]).items()}
    return context.lookup().latest_image(_several(said.get("owners", "self")), filters)


def latest_container(argument: Value, context: Context) -> Value:
    """`!latest_container shop/web`, or {repository, tag, registry}: with its digest."""
    said = fields(argument, "repository", "tag", "registry")
    tag, registry = plain(said.get("tag", "")), plain(said.get("registry", ""))
    return context.lookup().latest_container(plain(said["repository"]), tag, registry)


def security_group(argument: Value, context: Context) -> Value:
    """`!security_group name`, or {name, vpc}: its id."""
    said = fields(argument, "name", "vpc")
    return context.lookup().security_group(plain(said["name"]), plain(said.get("vpc", "")))


def sns_topic(argument: Value, context: Context) -> Value:
    """`!sns_topic name`: its ARN."""
    return context.lookup().topic(plain(argument, "a topic's name"))


def acm_certificate(argument: Value, context: Context) -> Value:
    """`!acm_certificate www.example.com`: its ARN."""
    return context.lookup().certificate(plain(argument, "a domain"))


def vpc(argument: Value, context: Context) -> Value:
    """`!vpc {Name: main}`: by tags."""
    return context.lookup().vpc(_texts(argument))


def subnets(argument: Value, context: Context) -> Value:
    """`!subnets {tags: {tier: public}, vpc: …}`: a list of ids."""
    said = fields(argument, "tags", "vpc")
    return list(context.lookup().subnets(_texts(said["tags"]), plain(said.get("vpc", ""))))


def _mapping(value: Value) -> Mapping[str, Value]:
    if not isinstance(value, dict):
        raise Invalid("expected key: value")
    return value


def _texts(value: Value) -> dict[str, str]:
    return {key: plain(each) for key, each in _mapping(value).items()}


def _several(value: Value) -> list[str]:
    return [plain(each) for each in value] if isinstance(value, list) else [plain(value)]
