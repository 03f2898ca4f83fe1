"""The port `ports.cloudformation` as the scripted CloudFormation answers it. Made by `testing.cloudformation`.

Sentences in quotation marks are AWS's: CloudFormation User Guide (UG) and API Reference (API).
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import msgspec

from homeport.errors import Conflict, NotFound
from homeport.model.stack import (
    ChangeRequest,
    ChangeSet,
    ChangeSetStatus,
    Deployed,
    Drift,
    StackEvent,
    StackResource,
    Status,
)
from homeport.stacks.schema import Schemas
from homeport.testing.cloudformation_change import Examiner
from homeport.testing.cloudformation_nested import Family
from homeport.testing.cloudformation_state import Asked, Failure, StackState, Step, creation, deletion, update

if TYPE_CHECKING:
    from homeport.testing.cloudformation import FakeCloud

P = ParamSpec("P")
R = TypeVar("R")


def _call(
    function: "Callable[Concatenate[FakeCloudFormation, P], R]",
) -> "Callable[Concatenate[FakeCloudFormation, P], R]":
    """One call of the service: counted, perhaps refused, kept."""

    def call(self: "FakeCloudFormation", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.cloud.lock:
            self.cloud.arrive(function.__name__)
            try:
                return function(self, *args, **kwargs)
            finally:
                self.cloud.keep()

    return call


class FakeCloudFormation:
    """One account and region. Implements `ports.cloudformation.CloudFormation`."""

    def __init__(self, cloud: "FakeCloud", account: str, region: str) -> None:
        self.cloud = cloud
        self.account = account
        self.region = region
        self.examiner = Examiner(cloud.world, account, region)

    @_call
    def describe(self, stack: str) -> Deployed | None:
        key = self._key(stack)
        if key not in self.cloud.world.stacks and stack in self.cloud.world.deleted:
            return self.cloud.world.deleted[stack].describe(self.account, self.region)
        self.cloud.advance(key)
        if key not in self.cloud.world.stacks and stack in self.cloud.world.deleted:
            return self.cloud.world.deleted[stack].describe(self.account, self.region)
        return self.cloud.seen(key)

    @_call
    def list(self) -> Iterator[Deployed]:
        prefix = self._key("")
        found = [each for key in self.cloud.world.stacks if key.startswith(prefix) and (each := self.cloud.seen(key))]
        return iter(found)

    @_call
    def template(self, stack: str) -> str:
        return self._state(stack).contents.template

    @_call
    def policy(self, stack: str) -> str:
        return self._state(stack).policy

    @_call
    def set_policy(self, stack: str, policy: str) -> None:
        self._state(stack).policy = policy

    @_call
    def set_termination_protection(self, stack: str, on: bool) -> None:
        self._state(stack).termination_protection = on

    @_call
    def create_change_set(self, request: ChangeRequest) -> str:
        body = self.examiner.checked(request)
        key = self._key(request.stack)
        state = self.cloud.world.stacks.get(key)
        if request.create:
            if state is not None and state.status is not Status.REVIEW_IN_PROGRESS:
                raise Conflict(f"Stack [{request.stack}] already exists and cannot be created again")
            # API, CreateChangeSet: "If you create a change set for a new stack, CloudFormation creates a stack with a
            # unique stack ID, but no template or resources. The stack will be in the REVIEW_IN_PROGRESS state until you
            # execute the change set."
            state = state or self._new(request.stack)
        elif state is None:
            raise NotFound(f"Stack [{request.stack}] does not exist")
        elif state.status.busy or state.status is Status.ROLLBACK_COMPLETE:
            raise Conflict(f"Stack:{state.id} is in {state.status} state and can not be updated.")
        if request.name in {each.change_set.name for each in state.asked.values()}:
            raise Conflict(f"ChangeSet {request.name} already exists")
        asked = self.examiner.asked(state, request, body)
        state.asked[asked.change_set.id] = asked
        return asked.change_set.id

    @_call
    def change_set(self, id: str) -> ChangeSet:
        asked = self._found(id)[1]
        if id in asked.nested:
            return asked.nested[id]
        if asked.looks > 0:
            asked.looks -= 1
            return msgspec.structs.replace(asked.change_set, status=ChangeSetStatus.PENDING, changes=())
        return asked.change_set

    @_call
    def change_sets(self, stack: str) -> Iterator[ChangeSet]:
        state = self.cloud.world.stacks.get(self._key(stack))
        found = [msgspec.structs.replace(each.change_set, changes=()) for each in state.asked.values()] if state else []
        return iter(found)

    @_call
    def execute_change_set(self, id: str, token: str) -> None:
        state, asked = self._found(id)
        if id in asked.nested:
            # UG, Change sets for nested stacks: executed "from the root change set"
            raise Conflict(f"ChangeSet [{id}] cannot be executed: it belongs to a nested stack")
        if state.token == token and state.steps:
            return
        if asked.change_set.status is not ChangeSetStatus.READY:
            raise Conflict(f"ChangeSet [{id}] cannot be executed in its current status of [FAILED]")
        if state.status.busy:
            raise Conflict(f"Stack:{state.id} is in {state.status} state and can not be updated.")
        failure = self._family().carried_out(state, asked.contents, self._failure(state.name))
        changes = asked.change_set.changes
        make = creation if asked.create else update
        state.coming, state.token = asked.contents, token
        state.steps = make(changes, asked.contents.physical, failure)
        # API, ExecuteChangeSet: "CloudFormation deletes all the change sets associated with the stack because they
        # aren't valid for the updated stack."
        state.asked.clear()
        self.cloud.advance(self._key(state.name))

    @_call
    def delete_change_set(self, id: str) -> None:
        for state in self.cloud.world.stacks.values():
            state.asked.pop(id, None)

    @_call
    def events(self, stack: str, since: datetime | None = None) -> Sequence[StackEvent]:
        state = self.cloud.world.stacks.get(self._key(stack)) or self.cloud.world.deleted.get(stack)
        if state is None:
            raise NotFound(f"Stack [{stack}] does not exist")
        return [each for each in state.events if since is None or each.at >= since]

    @_call
    def resources(self, stack: str) -> Sequence[StackResource]:
        state = self._state(stack)
        there = state.contents.body.get("Resources", {})
        return [
            StackResource(logical_id=name, physical_id=id, type=str(there[name]["Type"]), status=_last(state, name))
            for name, id in sorted(state.contents.physical.items())
            if name in there
        ]

    @_call
    def detect_drift(self, stack: str) -> str:
        state = self._state(stack)
        if state.status.busy or state.status in (Status.REVIEW_IN_PROGRESS, Status.ROLLBACK_COMPLETE):
            # UG: stacks in "CREATE_COMPLETE, UPDATE_COMPLETE, UPDATE_ROLLBACK_COMPLETE, and UPDATE_ROLLBACK_FAILED"
            raise Conflict(f"Drift detection cannot be performed on stack [{stack}] in {state.status}")
        self.cloud.world.looks[state.name] = 1
        return f"drift-of-{state.name}"

    @_call
    def drift(self, stack: str, detection: str) -> Sequence[Drift] | None:
        name = detection.removeprefix("drift-of-")
        if self.cloud.world.looks.get(name, 0) > 0:
            self.cloud.world.looks[name] -= 1
            return None
        return self.cloud.world.drifts.get(name, [])

    @_call
    def continue_rollback(self, stack: str, token: str, *, skip: tuple[str, ...] = ()) -> None:
        state = self._state(stack)
        if state.status is not Status.UPDATE_ROLLBACK_FAILED:
            # API: "A stack that's in the UPDATE_ROLLBACK_FAILED state"
            raise Conflict(f"Stack:{state.id} is in {state.status} state and can not be continued")
        state.token = token
        state.steps = [Step(status="UPDATE_ROLLBACK_IN_PROGRESS"), Step(status="UPDATE_ROLLBACK_COMPLETE")]
        self.cloud.advance(self._key(state.name))

    @_call
    def put(self, bucket: str, key: str, content: bytes) -> str:
        if bucket in self.cloud.world.no_buckets:
            raise NotFound(f"The specified bucket does not exist: {bucket}")
        self.cloud.world.objects.setdefault(f"{bucket}/{key}", content.decode())
        return f"https://{bucket}.s3.{self.region}.amazonaws.com/{key}"

    @_call
    def delete(self, stack: str, token: str, *, retain: tuple[str, ...] = ()) -> None:
        state = self.cloud.world.stacks.get(self._key(stack))
        if state is None or state.token == token:
            return
        if state.termination_protection:
            # UG: "If a user attempts to delete a stack with termination protection enabled, the deletion fails and the
            # stack, including its status, remains unchanged."
            raise Conflict(f"Stack [{state.name}] cannot be deleted while TerminationProtection is enabled")
        resources = {name: str(each["Type"]) for name, each in state.contents.body.get("Resources", {}).items()}
        if state.status in (Status.REVIEW_IN_PROGRESS, Status.ROLLBACK_COMPLETE):
            resources = {}
        kept = {name: type for name, type in resources.items() if name not in retain}
        state.token = token
        self._family().gone(state)
        state.steps = deletion(kept, state.contents.physical, self._failure(state.name))
        self.cloud.advance(self._key(state.name))

    @_call
    def cancel_update(self, stack: str) -> None:
        state = self._state(stack)
        if state.status is not Status.UPDATE_IN_PROGRESS:
            # API: "You can cancel only stacks that are in the UPDATE_IN_PROGRESS state."
            raise Conflict(f"CancelUpdateStack cannot be called from current stack status {state.status}")
        state.coming = None
        state.steps = update([], {}, None)[1:]
        state.steps = [msgspec.structs.replace(each, becomes=False) for each in state.steps]
        state.steps[0].status = "UPDATE_ROLLBACK_IN_PROGRESS"
        state.steps[0].reason = "User Initiated"
        state.steps[-1].status = "UPDATE_ROLLBACK_COMPLETE"

    # --- behind it

    def _key(self, stack: str) -> str:
        name = stack.split("/")[1] if stack.startswith("arn:") else stack
        return f"{self.account}/{self.region}/{name}"

    def _state(self, stack: str) -> StackState:
        state = self.cloud.world.stacks.get(self._key(stack))
        if state is None:
            raise NotFound(f"Stack [{stack}] does not exist")
        return state

    def _found(self, id: str) -> tuple[StackState, Asked]:
        for state in self.cloud.world.stacks.values():
            for asked in state.asked.values():
                if id == asked.change_set.id or id in asked.nested:
                    return state, asked
        raise NotFound(f"ChangeSet [{id}] does not exist")

    def _failure(self, name: str) -> Failure | None:
        waiting = self.cloud.world.failures.get(name)
        return waiting.pop(0) if waiting else None

    def _new(self, name: str) -> StackState:
        serial = self.cloud.world.ticks + 1
        id = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{name}/{serial:08d}"
        state = StackState(id=id, name=name, status=Status.REVIEW_IN_PROGRESS, changed_at=self.cloud.world.now())
        self.cloud.world.stacks[self._key(name)] = state
        return state

    def _family(self) -> Family:
        return Family(self.cloud.world, (self.account, self.region), self.examiner.fetched, Schemas(self.region))


def _last(state: StackState, name: str) -> str:
    """The status of a resource, as its last event has it."""
    return next((each.status for each in reversed(state.events) if each.logical_id == name), "CREATE_COMPLETE")
