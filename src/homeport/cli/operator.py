"""`homeport operator`: what AWS must allow those who type commands for a platform, made by an administrator."""

from pathlib import Path

import click

from homeport.cli import options, output
from homeport.errors import Invalid, NotFound

POLICIES = ("Look", "Commands", "Network", "Groups")
MADE = ("Role", "Viewer", *POLICIES, "Boundary")
"""Outputs of the stack."""


@click.command(
    epilog=options.example(
        "homeport operator -e production",
        "homeport operator -e production --print > operator.yaml",
        see="init, up",
    )
)
@click.option(
    "--print", "printed", is_flag=True, help="Print the template, to be applied by other means; ask AWS nothing."
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@options.common
def operator(environment: str | None, directory: Path, as_json: bool, printed: bool, yes: bool) -> None:
    """Allow others to type commands for a platform on AWS.

    For an administrator of the account, once for a platform and a region: makes a stack with a role, the policies that
    it has, and the boundary that instances' own roles get.
    """
    from homeport.cli import environment_stacks, remote
    from homeport.plan import aws_stacks
    from homeport.stacks.shipping import operator_template
    from homeport.wiring import aws

    where = remote.chosen()
    if where is None:
        raise Invalid("this environment isn't on AWS", hint='homeport operator -e <one with engine = "aws">')
    template, name = operator_template(), aws_stacks.operator_stack(where)
    if printed:
        text = aws_stacks.operator_template(where, template)
        output.emit({"stack": name, "template": text}) if as_json else print(text, end="")
        return
    aws.check_region(where)
    aws.check_account(where)
    files, command = aws_stacks.operator_project(where, template), f"homeport operator -e {where.name} --yes"
    changed = environment_stacks.bring_alone(files, aws_stacks.OPERATOR, directory, command, yes=yes, as_json=as_json)
    found = aws.cloudformation(where).describe(name)
    if found is None:
        raise NotFound(f"there is no stack {name}", hint=command)
    made = {key.lower(): found.outputs[key] for key in MADE}
    if as_json:
        output.emit({"stack": name, "changed": changed, **made})
        return
    print(f"{name} {'stands' if changed else 'stands already'}")
    print(f"role      {made['role']}, for whoever may assume it")
    print(f"role      {made['viewer']}, which may only look")
    policies = "\n          ".join(made[each.lower()] for each in POLICIES)
    print(f"policies  {policies}, to be attached to others")
    if where.aws is None or where.aws.boundary != made["boundary"]:
        print(f'next: [environments.{where.name}] boundary = "{made["boundary"]}", and homeport up')
