"""What a user writes, and what is played."""

import json
from pathlib import Path

import pytest

from homeport.cli.main import run
from homeport.errors import Invalid
from homeport.simulation.fault import WORDS, parse
from homeport.simulation.run import scenario
from tests.unit.simulation.test_random import formation

GROUPS = ("web", "jobs")


def test_every_step_can_be_said_and_is_documented() -> None:
    values = {"GROUP": "web", "ZONE": "b", "PROCESS": "Launch", "COUNT": "2"}
    page = (Path(__file__).parents[3] / "docs/reference/simulate.md").read_text()
    for pattern, (kind, _) in WORDS.items():
        said = " ".join(values.get(each, each) for each in pattern.split())
        assert [each.kind for each in parse(f"5m {said}", GROUPS)] == [kind]
        assert f"`{pattern}`" in page


def test_all_that_cannot_be_read_is_said_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse("# a comment\n5m deploi; soon deploy; 1m fail zone q\n1m kill wob; 2m scale web many", GROUPS)
    assert len(caught.value.details) == 5


def test_a_zone_dies_during_a_deploy() -> None:
    steps = parse("1m deploy; 1m2s fail zone b; 30m restore zone b", GROUPS)
    result = scenario(formation(), steps, hours=1)
    assert result.problems == ()
    assert {each.group: (each.serving, each.wanted) for each in result.worst}["web"] == (2, 3)
    ended = [each.words for each in result.lines if each.kind == "deployment_ended"]
    assert ended == ["shop: deployment 2: good: r2 serves everywhere"], "a lost zone is nothing against a release"


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "homeport.toml").write_text('app = "shop"\n[groups.web]\ninstances = 3\n')
    (tmp_path / "Procfile").write_text("web: serve\n")
    steps = tmp_path / "night.txt"
    steps.write_text("1m hang web\n")
    assert run(["simulate", "fleet", "-C", str(tmp_path), "--scenario", str(steps), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert [each["words"] for each in result["lines"] if each["kind"] == "fault"] == ["hang web"]
    assert result["worst"][0]["serving"] == 2
