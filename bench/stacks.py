"""`homeport stack` on 14 and on 2,500 stacks, as typed, and Sceptre on the same project beside it.

SCEPTRE is a Python that has Sceptre, else the one of `make .sceptre/.done`; without it there is no control. Both read
the same settings, so that what they make of them is compared too: tags, values, needs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.site import Figure, Goal, publish

SMALL, LARGE, PER_DIRECTORY = 14, 2500, 50
RUNS = 5
MADE = Path(__file__).parents[1] / ".sceptre/bin/python"
NET = """Parameters: {Cidr: {Type: String}}
Resources: {Vpc: {Type: 'AWS::EC2::VPC', Properties: {CidrBlock: !Ref Cidr}}}
Outputs: {Vpc: {Value: !Ref Vpc}}
"""
WEB = """Parameters: {Vpc: {Type: String}, Size: {Type: String}}
Resources: {G: {Type: 'AWS::EC2::SecurityGroup', Properties: {VpcId: !Ref Vpc, GroupDescription: !Ref Size}}}
"""
SCEPTRE = """
import json, sys
from sceptre.context import SceptreContext
from sceptre.plan.plan import SceptrePlan
plan = SceptrePlan(SceptreContext(project_path=sys.argv[1], command_path=""))
plan.resolve("list")
found = {}
for batch in plan.launch_order:
    for stack in batch:
        name = stack.name
        found[name] = {"tags": dict(stack.tags), "needs": sorted(each.name for each in stack.dependencies),
                       "size": stack._parameters.get("Size") if hasattr(stack, "_parameters") else None}
json.dump(found, sys.stdout)
"""
OURS = """
import json, sys
from pathlib import Path
from homeport.plan.stack.setting import text_of
from homeport.stacks.planner import Planner, Tools
from homeport.stacks.project import Project, find
planner = Planner(Project(find(Path(sys.argv[1]))), Tools(cloud=None, encryption=None, environ={}))
planner.load(planner.project.entries)
found = {id: {"tags": {name: text_of(each) for name, each in stack.tags.items()}, "needs": sorted(planner.needs[id]),
              "size": text_of(stack.parameters["Size"]) if "Size" in stack.parameters else None}
         for id, stack in planner.stacks.items()}
json.dump(found, sys.stdout)
"""


def ours(root: Path, count: int) -> None:
    """Our project: an environment per 50 stacks, each with a network that the others read."""
    stacks = root / "stacks"
    (stacks / "templates").mkdir(parents=True)
    (stacks / "config.yaml").write_text('account: "123456789012"\nregion: eu-west-1\ntags: {team: web}\n')
    (stacks / "templates/net.yaml").write_text(NET)
    (stacks / "templates/web.yaml").write_text(WEB)
    for number in range(0, count, PER_DIRECTORY):
        directory = stacks / f"env{number // PER_DIRECTORY}"
        directory.mkdir()
        (directory / "config.yaml").write_text(f"tags: {{env: e{number}}}\n")
        (directory / "net.yaml").write_text(
            f"template: templates/net.yaml\nparameters: {{Cidr: 10.{number % 250}.0.0/16}}\n"
        )
        for each in range(min(PER_DIRECTORY, count - number) - 1):
            said = f"template: templates/web.yaml\nparameters:\n  Vpc: !stack_output net/Vpc\n  Size: s{each}\n"
            (directory / f"web{each}.yaml").write_text(said)


def theirs(root: Path, count: int) -> None:
    """The same for Sceptre."""
    (root / "templates").mkdir(parents=True)
    (root / "config").mkdir()
    (root / "config/config.yaml").write_text("project_code: bench\nregion: eu-west-1\n")
    (root / "templates/net.yaml").write_text(NET)
    (root / "templates/web.yaml").write_text(WEB)
    for number in range(0, count, PER_DIRECTORY):
        name = f"env{number // PER_DIRECTORY}"
        directory = root / "config" / name
        directory.mkdir()
        tags = f"stack_tags: {{team: web, env: e{number}}}\n"
        (directory / "net.yaml").write_text(
            f"template: {{path: net.yaml, type: file}}\nparameters: {{Cidr: 10.{number % 250}.0.0/16}}\n{tags}"
        )
        for each in range(min(PER_DIRECTORY, count - number) - 1):
            (directory / f"web{each}.yaml").write_text(
                f"template: {{path: web.yaml, type: file}}\n{tags}"
                f"parameters:\n  Vpc: !stack_output {name}/net.yaml::Vpc\n  Size: s{each}\n"
            )


class Run(NamedTuple):
    seconds: float
    cpu_seconds: float
    megabytes: float
    printed: str


def timed(*argv: str, **environ: str) -> Run:
    begun = time.monotonic()
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | environ)
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, process.returncode = time.monotonic() - begun, os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, argv
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed)


def homeport(root: Path, *words: str) -> Run:
    home, world = str(root / "home"), f"fake:{root / 'world.json'}"
    argv = (sys.executable, "-m", "homeport", "stack", *words)
    return timed(*argv, HOMEPORT_HOME=home, HOMEPORT_CLOUD=world, HOMEPORT_FAKE_ACCOUNT="123456789012")


def compared(root: Path, sceptre: str) -> Run:
    """Sceptre's. Both must have made the same of the same settings."""
    found = timed(sceptre, "-W", "ignore", "-c", SCEPTRE, str(root / "sceptre"))
    one = json.loads(timed(sys.executable, "-c", OURS, str(root)).printed)
    other = json.loads(found.printed)
    assert one.keys() == other.keys(), "other stacks"
    for id, each in one.items():
        assert each["tags"] == other[id]["tags"], id
        assert each["needs"] == other[id]["needs"], id
        assert other[id]["size"] in (None, each["size"]), id
    return found


def main() -> None:
    sceptre = os.environ.get("SCEPTRE", str(MADE) if MADE.exists() else "")
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        for count, goal in ((SMALL, None), (LARGE, Goal("value", 5))):
            root = Path(directory, str(count))
            ours(root, count)
            theirs(root / "sceptre", count)
            planned, beside = [], []
            for number in range(RUNS):
                planned.append(homeport(root, "plan", "-C", str(root), "--json"))
                if sceptre and (count == SMALL or number == 0):
                    beside.append(compared(root, sceptre))
            what = f"{count:,} stacks; Sceptre only loads them"
            here, control = [each.seconds for each in planned], [each.seconds for each in beside]
            figures.append(Figure(f"stack plan of {what}", "s", here, control, goal))
            here, control = [each.megabytes for each in planned], [each.megabytes for each in beside]
            figures.append(Figure(f"memory of that, of {what}", "MB", here, control))
        floor = [timed(sys.executable, "-c", "import click, msgspec") for _ in range(RUNS)]
        one = [homeport(root, "compile", "env7/web3", "-C", str(root)) for _ in range(RUNS)]
        what = f"stack compile of one of {LARGE:,}; Python, click, msgspec"
        here, control = [each.seconds for each in one], [each.seconds for each in floor]
        figures.append(Figure(what, "s", here, control, Goal("value", 0.3)))
        here, control = [each.cpu_seconds for each in one], [each.cpu_seconds for each in floor]
        figures.append(Figure(f"CPU of {what}", "s", here, control))
        topics = "".join(
            f"  T{n}: {{Type: 'AWS::SNS::Topic', Properties: {{DisplayName: {n:0500d}}}}}\n" for n in range(1800)
        )
        big = Path(directory, "big.yaml")
        big.write_text(f"Resources:\n{topics}")
        megabyte = [homeport(root, "compile", "--template", str(big)) for _ in range(RUNS)]
        what = f"stack compile of a template of {big.stat().st_size / 1e6:.1f} MB"
        figures.append(Figure(what, "s", [each.seconds for each in megabyte]))
        figures.append(Figure(f"memory of {what}", "MB", [each.megabytes for each in megabyte]))
    publish("stacks", "as each line says", figures)


if __name__ == "__main__":
    main()
