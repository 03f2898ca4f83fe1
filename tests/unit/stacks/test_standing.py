"""Stacks that stand: drift, imports, stuck ones, deletion, who reads what, what is kept of it all."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from homeport.errors import Conflict, HomeportError, Invalid, NotFound
from homeport.model.stack import Deployed, Drift, Import, Status, Target
from homeport.model.stack_history import Begun, Ended
from homeport.model.stack_plan import Action, StackPlan
from homeport.stacks.apply import Applier, Diary, Outcome, Wishes
from homeport.stacks.history import History
from homeport.stacks.operation import Operation, Watcher
from homeport.stacks.standing import by_hand, drift, orphans
from homeport.stores.objects import open_store
from tests.stack_project import ACCOUNT, SETTINGS, Site

TARGET = Target(ACCOUNT, "eu-west-1")
AT = datetime(2026, 1, 1, tzinfo=UTC)


def operation(site: Site, name: str) -> Operation:
    plan = StackPlan(id=name, name=name, target=TARGET, action=Action.NONE, reason="")
    watcher = Watcher(clock=site.clock, pause=site.clock.pause, say=lambda event: None)
    return Operation(plan, site.cloud.cloudformation(TARGET), watcher)


def test_drift_is_found_and_told(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    formation = site.cloud.cloudformation(TARGET)
    assert drift(formation, "web", site.clock.pause) == ()
    changed = Drift(logical_id="Group", type="AWS::EC2::SecurityGroup", differences=("GroupDescription: web → mine",))
    site.cloud.drift("web", changed)
    assert drift(formation, "web", site.clock.pause) == (changed,)
    with pytest.raises(NotFound):
        drift(formation, "none", site.clock.pause)


ONE, TWO, MINE = (f"Resources:\n  {each}:\n    Type: AWS::SNS::Topic\n" for each in ("One", "Two", "Mine"))


@pytest.mark.parametrize(
    ("operations", "there", "differs"),
    [
        (((ONE, Outcome.DONE),), ONE, False),
        (((ONE, Outcome.DONE),), MINE, True),
        (((ONE, Outcome.FAILED),), MINE, False),
        (((ONE, None),), ONE, False),
        (((ONE, None),), MINE, True),
        (((ONE, None),), "", False),
        (((TWO, None), (ONE, Outcome.DONE)), ONE, False),
        (((TWO, None), (ONE, Outcome.DONE)), TWO, False),
        (((TWO, None), (ONE, Outcome.DONE)), MINE, True),
        ((), MINE, False),
    ],
)
def test_what_was_changed_by_hand_is_told_from_what_nobody_saw_the_end_of(
    operations: tuple[tuple[str, Outcome | None], ...], there: str, differs: bool, tmp_path: Path
) -> None:
    """Whoever began one may have died before or after it was carried out."""
    history = History(open_store(str(tmp_path)))
    plan = StackPlan(id="web", name="web", target=TARGET, action=Action.UPDATE, reason="")
    for template, outcome in reversed(operations):
        number = history.begin(Begun(number=0, at=AT, who="Ada", plan=plan, template=template))
        if outcome is not None:
            history.end(TARGET, "web", number, Ended(at=AT, outcome=outcome))
    deployed = Deployed(id="arn", name="web", status=Status.UPDATE_COMPLETE, changed_at=AT)
    assert by_hand(deployed, there, history.to_last_end(TARGET, "web")) == (["its template"] if differs else [])


def test_a_stuck_rollback_goes_on(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    site.edit("web.yaml", "parameters: {", "parameters: {Size: large, ")
    site.cloud.fail("web", "Group", "no", stuck=True)
    assert "UPDATE_ROLLBACK_FAILED" in site.apply()["web"].reason
    blocked = site.one("web")
    assert (blocked.action, "homeport stack unlock" in blocked.reason) == (Action.BLOCKED, True)
    assert operation(site, "web").unlock(("Group",)) == ("the rollback is complete",)
    assert site.apply()["web"].outcome is Outcome.DONE
    assert operation(site, "web").unlock() == ()
    assert operation(site, "none").unlock() == ()


def test_a_stack_that_never_got_beyond_its_review_is_unlocked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply("data")
    site.cloud.stack("data").status = Status.REVIEW_IN_PROGRESS
    assert operation(site, "data").unlock() == ("deleted: there was nothing in it",)
    assert site.one("data").action is Action.CREATE


def test_resources_are_imported(tmp_path: Path) -> None:
    table = "Resources:\n  Table: {Type: 'AWS::DynamoDB::Table', DeletionPolicy: Retain}\n"
    files = {"config.yaml": SETTINGS, "data.yaml": "template: t\n", "t": table}
    site = Site(tmp_path, files)
    one = Import(logical_id="Table", type="AWS::DynamoDB::Table", identifier={"TableName": "orders"})
    assert site.apply(wishes=Wishes(imports={"data": (one,)}))["data"].outcome is Outcome.DONE
    assert list(site.cloud.stack("data").contents.physical) == ["Table"]
    site.write({"t": f"{table}  Other: {{Type: 'AWS::SQS::Queue'}}\n"})
    other = Import(logical_id="Other", type="AWS::SQS::Queue", identifier={"QueueUrl": "u"})
    refused = site.apply(wishes=Wishes(imports={"data": (other,)}))["data"]
    assert "missing mandatory DeletionPolicy" in refused.reason


def test_what_the_project_no_longer_has_is_found_by_its_tag(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pytest.raises(Invalid, match="the project has no name"):
        orphans(site.planner())
    site.edit("config.yaml", "region:", "project: shop\nregion:")
    site.apply()
    assert orphans(site.planner()) == []
    site.cloud.stack("data").contents.tags = {}
    for name in ("web", "data"):
        (site.root / f"{name}.yaml").unlink()
    assert [each.id for each in orphans(site.planner())] == ["web"]
    site.write({"broken.yaml": "a: ["})
    with pytest.raises(Conflict, match="1 stacks of the project can't be read"):
        orphans(site.planner())


def test_deletion_goes_from_the_readers_to_the_read(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply()
    planner = site.planner()
    planner.removing = frozenset({"network"})
    (network,) = planner.plan(("network",)).stacks
    assert (network.action, network.consumers) == (Action.DELETE, ("web",))
    planner = site.planner()
    planner.removing = frozenset({"network", "web"})
    plan = planner.plan(("network", "web"))
    assert [each.id for each in plan.stacks] == ["web", "network"]
    site.cloud.fail("web", "Group", "it is in use")
    results = site.applier(planner).apply(plan, Wishes())
    assert [(each.id, each.outcome) for each in results] == [("web", Outcome.FAILED), ("network", Outcome.SKIPPED)]
    assert "Group (AWS::EC2::SecurityGroup) DELETE_FAILED: it is in use" in results[0].reason


def test_what_can_not_be_deleted_may_stay(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.apply("data")
    planner = site.planner()
    planner.removing = frozenset({"data"})
    plan = planner.plan(("data",))
    with pytest.raises(Conflict, match="data/Table would be replaced or deleted"):
        site.applier(planner).apply(plan, Wishes())
    (result,) = site.applier(planner).apply(plan, Wishes(retain=frozenset({"data/Table"})))
    assert result.outcome is Outcome.DONE
    assert site.cloud.world.stacks == {}


def test_every_operation_is_kept(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "store").mkdir()
    history = History(open_store(str(tmp_path / "store")))

    def apply(why: str) -> None:
        planner = site.planner()
        diary = Diary(history=history, who="ann", why=why)
        applier = Applier(planner, site.clock, site.clock.pause, lambda id, what: None, diary)
        applier.apply(planner.plan(planner.project.entries), Wishes(surprises=True))

    site.cloud.fail("web", "Group", "no more groups")
    apply("first")
    apply("again")
    one, two = reversed(history.last(TARGET, "web", 5))
    assert (one.begun.number, one.begun.who, one.begun.why) == (1, "ann", "first")
    assert one.ended is not None
    assert (one.ended.outcome, "no more groups" in one.ended.reason) == ("failed", True)
    assert two.ended is not None
    assert (two.ended.outcome, two.begun.plan.action) == ("done", Action.RECREATE)
    assert two.begun.template == (site.root / "templates/web.yaml").read_text()
    assert history.numbers(TARGET, "data") == [1]
    with pytest.raises(NotFound, match="has no operation 7"):
        history.get(TARGET, "web", 7)

    planner = site.planner()
    planner.pinned["web"] = replace(two.begun, parameters={**two.begun.parameters, "Size": "huge"})
    (web,) = [each for each in planner.plan(planner.project.entries).stacks if each.id == "web"]
    assert [(each.name, each.after) for each in web.parameters] == [("Size", "huge")]


def test_a_history_that_can_not_be_written_stops_before_anything_is_done(tmp_path: Path) -> None:
    site = Site(tmp_path)

    (tmp_path / "store").mkdir()
    (tmp_path / "store/_stacks").write_text("in the way")
    history = History(open_store(str(tmp_path / "store")))
    planner = site.planner()
    applier = Applier(planner, site.clock, site.clock.pause, lambda id, what: None, Diary(history=history, who="ann"))
    (result,) = applier.apply(planner.plan(("data",)), Wishes())
    assert (result.outcome, "_stacks" in result.reason) == (Outcome.FAILED, True), result.reason
    assert site.cloud.world.stacks == {}


def test_stacks_that_are_like_others(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.write({"web2.yaml": "like: web\nparameters: {Size: large}\n"})
    web2 = site.one("web2")
    assert {each.name: each.after for each in web2.parameters} == {
        "Size": "large",
        "Vpc": "(known after apply: network/VpcId)",
    }
    site.write({"web2.yaml": "like: web3\n", "web3.yaml": "like: web2\n"})
    with pytest.raises(HomeportError, match="like each other in a circle: web2 → web3 → web2"):
        site.project.stack("web2")
