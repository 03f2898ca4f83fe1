"""What CloudFormation says it will do against what was planned."""

import pytest

from homeport.errors import Conflict
from homeport.model.stack import Replacement, ResourceChange, Target
from homeport.model.stack_plan import Action, StackPlan
from homeport.plan.stack.review import Review, check, nested_change

NO, MAYBE, YES = Replacement.NO, Replacement.MAYBE, Replacement.YES
TABLE, GROUP = "AWS::DynamoDB::Table", "AWS::EC2::SecurityGroup"


def planned(*resources: ResourceChange) -> StackPlan:
    target = Target("123456789012", "eu-west-1")
    return StackPlan(id="site", name="site", target=target, action=Action.UPDATE, reason="", resources=resources)


def change(name: str, replacement: Replacement, type: str = GROUP) -> ResourceChange:
    return ResourceChange(action="modify", logical_id=name, type=type, replacement=replacement)


@pytest.mark.parametrize(
    ("said", "plan", "counts"),
    [(NO, NO, NO), (MAYBE, NO, NO), (MAYBE, YES, MAYBE), (MAYBE, MAYBE, MAYBE), (YES, NO, YES), (YES, YES, YES)],
)
def test_what_counts_of_a_nested_stack(said: Replacement, plan: Replacement, counts: Replacement) -> None:
    found = nested_change(planned(change("Web/Group", plan)), change("Group", said), "Web/")
    assert (found.logical_id, found.replacement) == ("Web/Group", counts)


def test_surprises() -> None:
    plan = planned(change("A", YES), change("B", MAYBE), change("C", NO))
    check(plan, (change("A", YES), change("B", YES), change("C", NO)), Review())
    for said in (change("C", YES), change("C", MAYBE), change("D", YES)):
        with pytest.raises(Conflict, match=f"would replace {said.logical_id}, which isn't in the plan"):
            check(plan, (said,), Review())
        check(plan, (said,), Review(surprises=True))
        check(plan, (said,), Review(allowed=frozenset({said.logical_id})))


def test_what_holds_data_needs_its_name_even_where_it_was_planned() -> None:
    for said in (change("T", YES, TABLE), ResourceChange(action="remove", logical_id="T", type=TABLE)):
        with pytest.raises(Conflict, match="T would be replaced or deleted, with what is in it"):
            check(planned(change("T", YES, TABLE)), (said,), Review(surprises=True))
        check(planned(change("T", YES, TABLE)), (said,), Review(allowed=frozenset({"T"})))
    kept = ResourceChange(action="remove", logical_id="T", type=TABLE, retained=True)
    check(planned(kept), (kept,), Review())
