"""Nested stacks of the scripted CloudFormation: each a stack of its own, with its own events and outputs. For
`testing.cloudformation`.

What fails in a nested stack is scripted on its parent: `cloud.fail("site", "Web/Instance", "…")`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from homeport.model.stack import ResourceChange, Status, Template
from homeport.plan.stack import graph
from homeport.plan.stack.evaluate import evaluate, references
from homeport.plan.stack.package import nested_anyhow
from homeport.plan.stack.parameter import declared, scalar
from homeport.plan.stack.replacement import SchemaOf, predict
from homeport.plan.stack.template import parse
from homeport.testing.cloudformation_state import (
    Contents,
    Failure,
    StackState,
    World,
    creation,
    outputs,
    update,
    values_of,
)


class Family:
    """The nested stacks of one operation on `parent`. `place`: account and region; `template`: from a URL."""

    def __init__(
        self, world: World, place: tuple[str, str], template: Callable[[str], str], schema_of: SchemaOf
    ) -> None:
        self.world = world
        self.account, self.region = place
        self.template = template
        self.schema_of = schema_of

    def carried_out(self, parent: StackState, contents: Contents, failure: Failure | None) -> Failure | None:
        """`contents` with ids and outputs of its nested stacks, which are made; what then fails in the parent."""
        body = contents.body
        names = nested_anyhow(body)
        needs = {name: [each for each in references(body["Resources"][name]) if each in names] for name in names}
        made: dict[str, StackState] = {}
        for name in graph.order(needs):
            inner = Failure(failure.logical_id.partition("/")[2], failure.reason, failure.stuck) if failure else None
            hit = inner if failure and failure.logical_id.startswith(f"{name}/") else None
            state = self._one(parent, name, contents, body["Resources"][name].get("Properties", {}), hit)
            made[name] = state
            contents.physical[name] = state.id
            if hit is not None:
                self._keep(made, failed=True)
                word = "created" if parent.status is Status.REVIEW_IN_PROGRESS else "updated"
                reason = f"Embedded stack {state.id} was not successfully {word}: see its events"
                return Failure(name, reason, hit.stuck)
            inner_outputs = outputs(state.contents, state.name, self.account, self.region)
            contents.attributes |= {f"{name}.Outputs.{key}": value for key, value in inner_outputs.items()}
        if failure is None or "/" not in failure.logical_id:
            self._keep(made, failed=failure is not None and parent.status is Status.REVIEW_IN_PROGRESS)
        return failure

    def _one(
        self, parent: StackState, name: str, contents: Contents, properties: Mapping[str, Any], failure: Failure | None
    ) -> StackState:
        known = self._of(parent.contents.physical.get(name, ""))
        state = msgspec.json.decode(msgspec.json.encode(known), type=StackState) if known else self._new(parent, name)
        text = self.template(str(properties.get("TemplateURL", "")))
        body = parse(text, "template").body
        given = self._given(properties.get("Parameters", {}), contents, parent.name)
        coming = Contents(template=text, parameters=given, tags=contents.tags)
        changes = self._changes(state.contents, coming, body)
        gone = {each.logical_id for each in changes if each.action == "remove"}
        fresh = [each.logical_id for each in changes if each.action == "add" or each.replacement == "yes"]
        kept = {id: value for id, value in state.contents.physical.items() if id not in gone}
        coming.physical = kept | {id: f"{state.name}-{id}-{self.world.ticks}" for id in fresh}
        inner = self.carried_out(state, coming, None)
        assert inner is None
        if changes or failure:
            state.coming = coming
            state.steps = (update if known else creation)(changes, coming.physical, failure)
            while state.steps:
                state.advance(self.world.now())
        return state

    def _given(self, said: Mapping[str, Any], contents: Contents, name: str) -> dict[str, str]:
        values = values_of(contents, name, self.account, self.region)
        found = evaluate({"Resources": {"It": dict(_with(said, contents.attributes))}}, values)["Resources"]["It"]
        return {key: scalar(value) for key, value in found.items()}

    def _changes(self, before: Contents, after: Contents, body: Template) -> Sequence[ResourceChange]:
        old = evaluate(before.body, before.parameters) if before.template else {}
        defaults = {name: each.default for name, each in declared(body).items() if each.default is not None}
        return predict(old, evaluate(body, defaults | after.parameters), self.schema_of)

    def _new(self, parent: StackState, name: str) -> StackState:
        serial = self.world.ticks + 1
        short = f"{parent.name}-{name}-{serial:X}"
        id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{short}/{serial:08d}"
        now = self.world.now()
        return StackState(id=id, name=short, status=Status.REVIEW_IN_PROGRESS, changed_at=now, parent=parent.id)

    def _of(self, id: str) -> StackState | None:
        return next((each for each in self.world.stacks.values() if each.id == id), None)

    def _keep(self, made: Mapping[str, StackState], *, failed: bool) -> None:
        for state in made.values():
            key = f"{self.account}/{self.region}/{state.name}"
            if failed and key not in self.world.stacks:
                self.world.deleted[state.id] = state  # it went with its parent
            elif failed:
                self.world.stacks[key].events += state.events[len(self.world.stacks[key].events) :]
            else:
                self.world.stacks[key] = state

    def gone(self, parent: StackState) -> None:
        """With the parent its nested stacks go."""
        for id in list(parent.contents.physical.values()):
            state = self._of(id)
            if state is not None:
                self.gone(state)
                state.status = Status.DELETE_COMPLETE
                self.world.deleted[id] = self.world.stacks.pop(f"{self.account}/{self.region}/{state.name}")


def _with(value: Any, attributes: Mapping[str, str]) -> Any:
    """The same with outputs of nested stacks put in."""
    match value:
        case {"Fn::GetAtt": [str() as name, str() as attribute]} if f"{name}.{attribute}" in attributes:
            return attributes[f"{name}.{attribute}"]
        case dict():
            return {key: _with(each, attributes) for key, each in value.items()}
        case list():
            return [_with(each, attributes) for each in value]
    return value
