"""Sceptre as an oracle: of the same settings both make the same parameters, tags, needs and order."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from homeport.engines.aws.cloud import AwsCloud
from homeport.model.stack import Target
from homeport.plan.stack import graph
from homeport.stacks.planner import Planner, Tools
from homeport.stacks.project import Project
from tests.bucket import Bucket
from tests.sceptre import Both, Call, Layer, Value, for_homeport, for_sceptre, name_of, names, told

SETTINGS = 'account: "123456789012"\nregion: eu-west-1\n'
TARGET = Target("123456789012", "eu-west-1")
DEPLOYED = """
Resources: {Topic: {Type: "AWS::SNS::Topic"}}
Outputs: {Name: {Value: !Sub "of-${AWS::StackName}"}, List: {Value: "a,b,c"}}
"""
IDS = ("network", "edge", "live/net", "live/web", "live/inner/jobs", "live/inner/cache", "test/mail", "test/queue")
"""No name twice: Sceptre merges a stack's file with those of its name in the directories above, too."""
DIRECTORIES = ("", "live", "live/inner", "test")
PROJECTS = 30
KEYS = ("Size", "Zones", "Url", "Count", "Debug", "Owner")
SCALARS: tuple[Value, ...] = ("small", "large", "a b", "x: y", "#1", "yes", "07", "", 0, 12, True, False)


@pytest.fixture
def environ(bucket: Bucket) -> dict[str, str]:
    """Where AWS is: a server that has all the stacks whose outputs are read."""
    return {**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "OWNER": "somebody"}


@pytest.fixture
def cloud(environ: dict[str, str]) -> AwsCloud:
    cloud = AwsCloud()
    client = cloud.client("cloudformation", TARGET)
    there = {each.name for each in cloud.cloudformation(TARGET).list()}
    for id in IDS:
        if name_of(id) not in there:
            client.create_stack(StackName=name_of(id), TemplateBody=DEPLOYED)
    return cloud


def ours(root: Path, cloud: AwsCloud, environ: dict[str, str]) -> dict[str, Any]:
    def encryption() -> Any:
        raise AssertionError("nothing is encrypted")

    planner = Planner(Project(root), Tools(cloud=lambda: cloud, encryption=encryption, environ=environ))
    planner.load(planner.project.entries)
    planner.observe(planner.stacks)
    assert planner.problems == {}
    stacks = {}
    for id, stack in planner.stacks.items():
        wanted = planner.wanted(stack, planner.output)
        stacks[id] = {
            "parameters": {name: str(value) for name, value in wanted.parameters.items()},
            "tags": {name: str(value) for name, value in wanted.tags.items()},
            "needs": sorted(planner.needs[id]),
        }
    return {"stacks": stacks, "levels": [list(level) for level in graph.levels(planner.needs)]}


def write(root: Path, both: Both) -> None:
    known = names([*both.directories.values(), *both.stacks.values()])
    for_homeport(root / "stacks", both, SETTINGS)
    declared = "".join(f"  {name}: {{Type: String, Default: ''}}\n" for name in known)
    (root / "stacks/t.template").write_text(f"Parameters:\n{declared}Resources: {{}}\n" if known else "Resources: {}\n")
    for_sceptre(root / "sceptre", both)


def test_every_resolver_that_both_have(tmp_path: Path, cloud: AwsCloud, environ: dict[str, str]) -> None:
    motd = tmp_path / "motd"
    motd.write_text("hello\nthere\n")
    output = Call("output", ("live/net", "Name"))
    listed = Call("split", (",", Call("output", ("network", "List"))))
    web = {
        "Vpc": output,
        "Owner": Call("env", ("OWNER",)),
        "Motd": Call("file", (str(motd),)),
        "Said": Call("command", ("printf said",)),  # of a last newline, which Sceptre keeps, ours takes one away
        "Both": Call("join", ("-", [output, Call("env", ("OWNER",)), "x"])),
        "Second": Call("select", (1, listed)),
        "Last": Call("select", (-1, listed)),
        "Url": Call("sub", ("https://${Owner}.${Where}/", {"Owner": Call("env", ("OWNER",)), "Where": output})),
        "Zones": [Call("output", ("network", "Name")), "b", 3],
        "Gone": None,
    }
    both = Both(
        {
            "": Layer({"Gone": "x", "Size": "small"}, {"team": "web", "cost": 7}),
            "live": Layer({"Size": "large"}, {"cost": Call("env", ("OWNER",))}),
        },
        {
            "network": Layer({}, {}),
            "live/net": Layer({"Size": None}, {"team": "net"}, needs=("network",)),
            "live/web": Layer(web, {"vpc": output}),
            "live/jobs": Layer({}, {}, needs=("live/web", "network")),
        },
    )
    write(tmp_path, both)
    (theirs,) = told(environ, tmp_path / "sceptre")
    found = ours(tmp_path / "stacks", cloud, environ)
    agree(found, theirs)
    assert found["stacks"]["live/web"]["parameters"]["Url"] == "https://somebody.of-shop-live-net/"
    assert found["levels"] == [["network"], ["live/net"], ["live/web"], ["live/jobs"]]


def test_projects_of_all_shapes(tmp_path: Path, cloud: AwsCloud, environ: dict[str, str]) -> None:
    """Made by chance, each from its own number: what a failure names can be made again."""
    roots = [tmp_path / str(seed) for seed in range(PROJECTS)]
    for seed, root in enumerate(roots):
        write(root, by_chance(Random(seed)))
    for root, theirs in zip(roots, told(environ, *(root / "sceptre" for root in roots)), strict=True):
        agree(ours(root / "stacks", cloud, environ), theirs, f"project {root.name}")


def agree(found: dict[str, Any], theirs: dict[str, Any], where: str = "") -> None:
    """Stack by stack, so that a failure says which."""
    assert found["levels"] == theirs["levels"], where
    for id, each in theirs["stacks"].items():
        for what, said in each.items():
            assert found["stacks"][id][what] == said, f"{where} {id}: {what}"


def by_chance(random: Random) -> Both:
    """Directories inherit from each other; a stack needs only some of those that come before it in some order."""
    order = random.sample(IDS, random.randint(2, len(IDS)))
    return Both(
        {each: Layer(values(random, ()), tags(random)) for each in DIRECTORIES},
        {
            id: Layer(values(random, before := tuple(order[:number])), tags(random), tuple(some(random, before)))
            for number, id in enumerate(order)
        },
    )


def values(random: Random, before: tuple[str, ...]) -> dict[str, Value]:
    return {name: value(random, before) for name in some(random, KEYS)}


def tags(random: Random) -> dict[str, Value]:
    return {name: random.choice(("a", "b c", 3)) for name in some(random, ("team", "cost", "owner"))}


def value(random: Random, before: tuple[str, ...], depth: int = 2) -> Value:
    kind = random.randrange(8 if depth else 3)
    if kind == 0 and before:
        return Call("output", (random.choice(before), random.choice(("Name", "List"))))
    if kind == 1:
        return Call("env", ("OWNER",))
    if kind == 3:
        return [text(random, before, depth) for _ in range(random.randint(1, 3))]
    if kind == 4:
        return Call("join", (random.choice((",", "-")), [text(random, before, depth), text(random, before, depth)]))
    if kind == 5:
        return Call("sub", ("<${A}>", {"A": text(random, before, depth)}))
    if kind == 6:
        return Call("select", (random.randrange(2), [text(random, before, depth), text(random, before, depth)]))
    if kind == 7:
        return None
    return random.choice(SCALARS)


def text(random: Random, before: tuple[str, ...], depth: int) -> Value:
    """What may stand in a list: not nothing, nor another list."""
    found = value(random, before, depth - 1)
    return "t" if found is None or isinstance(found, list | bool | int) else found


def some(random: Random, names: tuple[str, ...]) -> list[str]:
    return random.sample(names, random.randint(0, min(3, len(names))))
