"""`homeport stack compile`: a template as CloudFormation gets it."""

from pathlib import Path

import click

from homeport.cli import candidates, options
from homeport.cli.stack import directory
from homeport.errors import Invalid


@click.command(
    "compile",
    epilog=options.example(
        "homeport stack compile production/web", "homeport stack compile --template web.yaml --json"
    ),
)
@click.argument("stack", required=False, metavar="[STACK]", shell_complete=candidates.stacks)
@click.option(
    "--template",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A template of its own: no project is needed.",
)
@directory
@click.option("--json", "as_json", is_flag=True, help="As JSON. Default: YAML, as it was written where that can be.")
def compile_(stack: str | None, template: Path | None, directory: Path, as_json: bool) -> None:
    """Print a template as CloudFormation gets it."""
    from msgspec.structs import replace

    from homeport.plan.stack import template as writer
    from homeport.stacks.compose import Composer, given_by
    from homeport.stacks.package import packaged
    from homeport.wiring import stacks

    if (stack is None) == (template is None):
        raise Invalid("expected either a stack or --template FILE", hint="homeport stack compile --template web.yaml")
    if template is not None:
        composed = Composer(template.parent, remote=stacks.remote()).compose(template.name)
    else:
        project = stacks.project(directory)
        ids = project.select((stack or "",))
        if len(ids) != 1:
            raise Invalid(f"{stack!r} means {len(ids)} stacks; expected one", hint=f"homeport stack compile {ids[0]}")
        found = project.stack(ids[0])
        composer = Composer(project.root, project.root.name, stacks.remote())
        composed = composer.compose(found.template, given_by(found))
        if found.bucket:  # else the places of nested templates are shown as they were written
            package = packaged(composed, found)
            composed = replace(composed, body=package.body, text=package.text)
    if as_json:
        print(writer.as_json(composed.body))
    elif composed.text.lstrip().startswith("{"):
        print(writer.as_yaml(composed.body), end="")
    else:
        print(composed.text, end="" if composed.text.endswith("\n") else "\n")
