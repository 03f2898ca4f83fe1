"""Sceptre, beside which tests put what Homeport makes of the same settings: an environment of its own, because its pins
would disturb ours, a way to write one project for both, and what it then says."""

import fcntl
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".sceptre"
PROJECT = "shop"
SECONDS = 300
PROGRAM = """
import json, sys
from sceptre.context import SceptreContext
from sceptre.plan.actions import StackActions
from sceptre.plan.plan import SceptrePlan

def told(root):
    plan = SceptrePlan(SceptreContext(project_path=root, command_path=""))
    plan.resolve("list")
    stacks = {}
    for stack in plan:
        sent = StackActions(stack)._format_parameters(stack.parameters)
        stacks[stack.name] = {
            "parameters": {each["ParameterKey"]: each["ParameterValue"] for each in sent},
            "tags": {name: str(value) for name, value in stack.tags.items()},
            "needs": sorted(each.name for each in stack.dependencies),
        }
    return {"stacks": stacks, "levels": [sorted(each.name for each in level) for level in plan.launch_order]}

json.dump([told(root) for root in sys.argv[1:]], sys.stdout)
"""


class Call(NamedTuple):
    """A resolver: `output` (stack, key), `env`, `file`, `join`, `split`, `select`, `sub` (text, values), `command`."""

    name: str
    arguments: tuple["Value", ...]


Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | Call | None"
"""None: what was inherited is taken away."""


class Layer(NamedTuple):
    """What a directory or a stack says."""

    parameters: dict[str, Value]
    tags: dict[str, Value]
    needs: tuple[str, ...] = ()


class Both(NamedTuple):
    """A project for both: what directories say (the top is the empty one), and stacks by id."""

    directories: Mapping[str, Layer]
    stacks: Mapping[str, Layer]


def told(environ: Mapping[str, str], *roots: Path) -> list[dict[str, Any]]:
    """For each project `stacks` (parameters as they would be sent, tags, needs) and `levels`."""
    argv = (str(_python()), "-W", "ignore", "-c", PROGRAM, *map(str, roots))
    done = subprocess.run(argv, capture_output=True, text=True, env=dict(environ), timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _python() -> Path:
    """Of the environment, which is made where it is missing or old: the way `make test` does."""
    with (ROOT / "tests/sceptre.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(("make", "--silent", ".sceptre/.done"), cwd=ROOT, check=True, timeout=SECONDS)
    return ENVIRONMENT / "bin/python"


# --- one project, written twice


def name_of(id: str) -> str:
    """What CloudFormation calls the stack: Sceptre's own rule."""
    return f"{PROJECT}-{id.replace('/', '-')}"


def for_homeport(root: Path, both: Both, settings: str) -> None:
    """`root`: the directory `stacks`. `settings`: what else the top says."""
    for directory, layer in both.directories.items():
        _write(root / directory / "config.yaml", _layer(layer, "tags", _ours) + (settings if not directory else ""))
    for id, layer in both.stacks.items():
        needs = f"depends_on: {json.dumps([f'/{each}' for each in layer.needs])}\n" if layer.needs else ""
        own = f"name: {name_of(id)}\ntemplate: t.template\n{needs}"
        _write(root / f"{id}.yaml", own + _layer(layer, "tags", _ours))


def for_sceptre(root: Path, both: Both) -> None:
    _write(root / "templates/t.yaml", "Resources: {}\n")
    inherit = "parameters_inheritance: merge\nstack_tags_inheritance: merge\n"
    top = f"project_code: {PROJECT}\nregion: eu-west-1\n"
    for directory, layer in both.directories.items():
        said = _layer(layer, "stack_tags", _theirs) + inherit
        _write(root / "config" / directory / "config.yaml", said + (top if not directory else ""))
    for id, layer in both.stacks.items():
        needs = f"dependencies: {json.dumps([f'{each}.yaml' for each in layer.needs])}\n" if layer.needs else ""
        own = f"template: {{path: t.yaml, type: file}}\n{inherit}{needs}"
        _write(root / "config" / f"{id}.yaml", own + _layer(layer, "stack_tags", _theirs))


def _layer(layer: Layer, tags: str, call: Any) -> str:
    return "".join(
        f"{key}:\n" + "".join(f"  {name}: {_yaml(value, call)}\n" for name, value in values.items())
        for key, values in (("parameters", layer.parameters), (tags, layer.tags))
        if values
    )


def _yaml(value: Value, call: Any) -> str:
    match value:
        case Call() | None:
            return str(call(value))
        case list():
            return f"[{', '.join(_yaml(each, call) for each in value)}]"
        case dict():
            return f"{{{', '.join(f'{name}: {_yaml(each, call)}' for name, each in value.items())}}}"
    return json.dumps(value)


def _ours(value: Call | None) -> str:
    match value:
        case None:
            return "null"
        case Call("output", (str() as stack, str() as key)):
            return f"!stack_output /{stack}/{key}"
        case Call("env" | "file" | "command" as name, (str() as argument,)):
            return f"!{name} {json.dumps(argument)}"
        case Call("sub", (str() as text, dict() as values)):
            return f"!sub {_yaml([text, values], _ours)}"
    return f"!{value.name} {_yaml(list(value.arguments), _ours)}"


def _theirs(value: Call | None) -> str:
    words = {"env": "environment_variable", "file": "file_contents", "command": "rcmd"}
    match value:
        case None:
            return "!no_value"
        case Call("output", (str() as stack, str() as key)):
            return f"!stack_output {stack}.yaml::{key}"
        case Call("env" | "file" | "command" as name, (str() as argument,)):
            return f"!{words[name]} {json.dumps(argument)}"
        case Call("sub", (str() as text, dict() as values)):
            return f"!sub {_yaml([text.replace('${', '{'), values], _theirs)}"
    return f"!{value.name} {_yaml(list(value.arguments), _theirs)}"


def names(layers: Sequence[Layer]) -> list[str]:
    """Of all parameters that they say."""
    return sorted({name for layer in layers for name in layer.parameters})


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
