"""The directory `stacks`: what stands where, what is inherited, what is wrong where."""

import re
from pathlib import Path

import pytest

from homeport.errors import HomeportError, Invalid, NotFound
from homeport.model.located import Located
from homeport.stacks.project import Project, find
from tests.stack_project import SETTINGS, Site

AXES = {
    "config.yaml": 'accounts: {live: "012345678901", test: "210987654321"}\ntags: {team: web, cost: a}\n',
    "production/config.yaml": "account: live\nregion: [eu-west-1, us-east-1]\ntags: {cost: b}\n",
    "staging/config.yaml": "account: test\nregion: eu-west-1\ntags: {team: null}\n",
    "web.yaml": "environment: [production, staging]\ntemplate: t.yaml\nparameters: {Size: small, Zones: [a]}\n",
    "production/network.yaml": "template: t.yaml\n",
    "production/eu-west-1/web.yaml": "parameters: {Size: large, Zones: !append [b]}\n",
    "production/us-east-1/edge.yaml": "template: t.yaml\n",
    "staging/one.yaml": "template: t.yaml\nregion: us-west-2\n",
    "files/not-a-stack.yaml": "a: b\n",
}


def plain(node: Located) -> object:
    match node.value:
        case list() as items:
            return [plain(each) for each in items]
        case dict() as entries:
            return {key: plain(each) for key, each in entries.items()}
    return node.text


def test_one_stack_is_found_as_among_all(tmp_path: Path) -> None:
    project = Site(tmp_path, AXES).project
    assert [Site(tmp_path, AXES).project.entry(id) for id in project.entries] == list(project.entries.values())
    for nothing in ("", "web", "production", "production/web", "files/not-a-stack", "production/eu-west-1/edge"):
        assert Site(tmp_path, AXES).project.entry(nothing) is None
    alone = Site(tmp_path, AXES).project
    assert alone.select(("staging/one",)) == ("staging/one",)
    alone.stack("staging/one")
    assert "production/config.yaml" not in alone.files


def test_environments_and_regions_are_directories_or_lists(tmp_path: Path) -> None:
    project = Site(tmp_path, AXES).project
    assert list(project.entries) == [
        "production/eu-west-1/network",
        "production/eu-west-1/web",
        "production/us-east-1/edge",
        "production/us-east-1/network",
        "production/us-east-1/web",
        "staging/one",
        "staging/web",
    ]
    loaded = project.load(project.entries)
    assert loaded.problems == {}
    stacks = loaded.stacks
    places = {(each.environment, each.target.account, each.target.region) for each in stacks.values()}
    assert places == {
        ("production", "012345678901", "eu-west-1"),
        ("production", "012345678901", "us-east-1"),
        ("staging", "210987654321", "eu-west-1"),
        ("staging", "210987654321", "us-west-2"),
    }
    assert {stacks["production/eu-west-1/web"].name, stacks["production/us-east-1/web"].name} == {"production-web"}
    near = {name: plain(node) for name, node in stacks["production/eu-west-1/web"].parameters.items()}
    far = {name: plain(node) for name, node in stacks["production/us-east-1/web"].parameters.items()}
    assert (near, far) == ({"Size": "large", "Zones": ["a", "b"]}, {"Size": "small", "Zones": ["a"]})
    assert {name: plain(node) for name, node in stacks["staging/web"].tags.items()} == {"cost": "a"}
    assert {name: plain(node) for name, node in stacks["production/us-east-1/web"].tags.items()} == {
        "team": "web",
        "cost": "b",
    }


def test_values_know_where_they_come_from(tmp_path: Path) -> None:
    size = Site(tmp_path, AXES).project.stack("production/eu-west-1/web").parameters["Size"]
    assert str(size.at) == "stacks/production/eu-west-1/web.yaml:1:20"
    assert [(each.text, str(each.at)) for each in size.over] == [("small", "stacks/web.yaml:3:20")]


def test_only_what_is_needed_is_read(tmp_path: Path) -> None:
    site = Site(tmp_path, {**AXES, "staging/broken.yaml": "a: [", "staging/config.yaml": "account: [\n"})
    assert site.project.stack("production/eu-west-1/web").name == "production-web"
    loaded = site.project.load(site.project.entries)
    assert sorted(loaded.problems) == ["staging/broken", "staging/one", "staging/web"]
    assert "stacks/staging/config.yaml:2:1: not YAML" in str(loaded.problems["staging/web"])
    assert len(loaded.stacks) == 5


def test_a_person_may_leave_directories_out(tmp_path: Path) -> None:
    project = Site(tmp_path, AXES).project
    assert project.select(("staging/web",)) == ("staging/web",)
    assert project.select(("edge",)) == ("production/us-east-1/edge",)
    assert project.select(("production/edge",)) == ("production/us-east-1/edge",)
    assert project.select(("production/us-east-1/",)) == tuple(
        f"production/us-east-1/{name}" for name in ("edge", "network", "web")
    )
    with pytest.raises(Invalid, match="may be any of production/eu-west-1/web, production/us-east-1/web"):
        project.select(("production/web",))
    with pytest.raises(NotFound, match="did you mean staging/web"):
        project.select(("staging/wbe",))


def test_references_look_beside_and_above(tmp_path: Path) -> None:
    project = Site(tmp_path, AXES).project
    assert project.refer("network", "production/us-east-1/web") == "production/us-east-1/network"
    assert project.refer("/staging/web", "production/us-east-1/web") == "staging/web"
    with pytest.raises(NotFound, match="did you mean"):
        project.refer("netwrok", "production/us-east-1/web")


def test_parameter_files_lie_below_what_is_inline(tmp_path: Path) -> None:
    site = Site(
        tmp_path,
        {
            "config.yaml": SETTINGS,
            "far.yml.txt": "A: 1\nB: 1\nC: 1\n",
            "near.yml.txt": "B: 2\nC: 2\n",
            "web.yaml": "template: t\nparameter_files: [far.yml.txt, near.yml.txt]\nparameters: {C: 3}\n",
        },
    )
    found = {name: plain(node) for name, node in site.project.stack("web").parameters.items()}
    assert found == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"web.yaml": "templat: t\n"}, r'stacks/web.yaml:1:10: no setting .templat., did you mean "template"'),
        ({"web.yaml": "a: 1\na: 2\n"}, r"stacks/web.yaml:2:1: 'a' is there twice, first in line 1"),
        ({"web.yaml": "template: [a\n"}, r"stacks/web.yaml:2:1: not YAML"),
        ({"web.yaml": "- a\n"}, r"stacks/web.yaml:1:1: expected settings .* found a list"),
        ({"web.yaml": "parameters: {}\n"}, r"web names no template"),
        ({"web.yaml": "template: t\nregion: mars\n"}, r"stacks/web.yaml:2:9: expected a region"),
        ({"web.yaml": "template: t\naccount: 12\n"}, r"stacks/web.yaml:2:10: expected an account: twelve digits"),
        ({"web.yaml": "template: t\nname: 1x\n"}, r"'1x' can't be a stack's name"),
        ({"web.yaml": "template: t\ntags: !append {a: b}\n"}, r"stacks/web.yaml:2:7: expected a list after !append"),
        ({"web.yaml": "template: t\ndepends_on: [wbe]\n"}, r"refers to the stack 'wbe'.*did you mean web"),
        ({"web.yaml": "template: t\nparameter_files: [no]\n"}, r"stacks/web.yaml:2:19: no file stacks/no"),
        ({"web.yaml": "template: t\n", "other.yaml": "template: t\nname: web\n"}, r"other and web are one stack: web"),
        ({"config.yaml": "account: '1'\n", "web.yaml": "template: t\n"}, r"web has no region"),
        ({"web.yaml": "template: " + "[" * 6000}, r"stacks/web.yaml: nested too deeply"),
        ({"web.yaml": "a: &a [1, *a]\n"}, r"refers to itself"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    project = Site(tmp_path, {"config.yaml": SETTINGS, **files}).project
    problems = project.load(project.entries).problems
    assert re.search(expected, str(problems["web"])), str(problems["web"])
    assert isinstance(problems["web"], HomeportError)


def test_aliases_that_explode_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    project = Site(tmp_path, {"config.yaml": SETTINGS, "web.yaml": "\n".join(lines)}).project
    assert "once aliases are written out" in str(project.load(["web"]).problems["web"])


def test_two_files_for_one_stack(tmp_path: Path) -> None:
    files = {name: "template: t\n" for name in ("other.yaml", "web.yaml", "web.yml")}
    loaded = Site(tmp_path, {"config.yaml": SETTINGS, **files}).project.load(("other", "web"))
    assert list(loaded.stacks) == ["other"]
    assert str(loaded.problems["web"]) == "two files for one stack: stacks/web.yaml and web.yml"


def test_there_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no stacks/config.yaml"):
        find(tmp_path)
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks/config.yaml").write_text("")
    assert Project(find(tmp_path)).entries == {}
