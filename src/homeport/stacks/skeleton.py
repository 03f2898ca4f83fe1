"""Files that Homeport writes into a project: the first ones, and twins of stacks. For `stack init` and `stack twin`."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from homeport.errors import Conflict, Invalid
from homeport.plan.stack.place import NAME, directory_of
from homeport.plan.stack.setting import ACCOUNT
from homeport.stacks.project import DIRECTORY, SETTINGS, Project
from homeport.system import text_file
from homeport.system.effect import effect

CONFIG = """# Settings that every stack inherits; a directory may have its own.
{project}{account}
region: {region}
tags:
  managed-by: homeport
"""
STACK = """# A stack: its id is its path without the suffix.
template: templates/topic.yaml
parameters:
  Name: !sub "${stack}-alarms"
"""
TEMPLATE = """Parameters:
  Name:
    Type: String
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: !Ref Name
Outputs:
  TopicArn:
    Value: !Ref Topic
"""


def begin(directory: Path, *, account: str, region: str, project: str) -> list[str]:
    """Paths of the files that were written. Raises `Conflict` where there is a project, `Invalid`."""
    if account and not ACCOUNT.fullmatch(account):
        raise Invalid(f"expected an account: twelve digits; found {account!r}")
    root = directory.resolve() / DIRECTORY
    if (root / SETTINGS).exists():
        raise Conflict(f"there is a project: {root / SETTINGS}", hint="homeport stack list")
    said = f'account: "{account}"' if account else '# account: "123456789012"   the only one it may be applied to'
    config = CONFIG.format(project=f"project: {project}\n" if project else "", account=said, region=region)
    files = {"templates/topic.yaml": TEMPLATE, "alarms.yaml": STACK, SETTINGS: config}  # what makes it a project last
    written = []
    for name, text in files.items():
        if not (root / name).exists():
            _write(root / name, text)
            written.append(f"{DIRECTORY}/{name}")
    return written


def twin(project: Project, id: str, name: str, parameters: Mapping[str, str]) -> str:
    """The file that says so. Raises `Conflict` where there is one, `Invalid`."""
    last = id.rpartition("/")[2]
    name = name or f"{last}-2"
    if not NAME.fullmatch(name):
        raise Invalid(f"{name!r} can't be a stack's name: letters, digits, hyphens, a letter first")
    directory = directory_of(id)
    other = f"{directory}/{name}".lstrip("/")
    if other in project.entries:
        raise Conflict(f"there is a stack {other}", hint="--as another-name")
    empty = [key for key in parameters if not key]
    if empty:
        raise Invalid("expected NAME=VALUE")
    said = {"like": last, **({"parameters": dict(parameters)} if parameters else {})}
    _write(project.root / f"{other}.yaml", yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
    return f"{project.root.name}/{other}.yaml"


@effect("stack_project.write")
def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text_file.replace(path, text)
    except OSError as error:
        raise Invalid(f"can't write {path}: {error.strerror}") from error
