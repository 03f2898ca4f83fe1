"""A scripted CloudFormation behind `ports.cloudformation`, for tests of Homeport and of whoever writes stacks.

    cloud = FakeCloud()
    cloud.fail("web", "Instance", "no such image")      # the next operation on this stack goes wrong
    cloud.throttle(3)                                   # the next three calls are refused
    cloud.lag(2)                                        # what was just done is seen two looks later

Stacks move one step at each look, so that no time has to pass. With a `path` it is kept in a file: programs that run
one after the other see the same world (`HOMEPORT_CLOUD=fake:world.json`).

Not done: exports and imports of values, limits on the number of things.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec

from homeport.errors import Conflict, HomeportError, Invalid, NotFound, Unavailable
from homeport.model.secret import Secret
from homeport.model.stack import (
    ChangeRequest,
    ChangeSet,
    ChangeSetStatus,
    Deployed,
    Drift,
    Replacement,
    ResourceChange,
    StackEvent,
    StackResource,
    Status,
    Target,
    Template,
)
from homeport.plan.stack.capability import capabilities
from homeport.plan.stack.evaluate import evaluate
from homeport.plan.stack.parameter import declared, scene
from homeport.plan.stack.replacement import predict
from homeport.plan.stack.template import parse
from homeport.stacks.schema import Schemas
from homeport.testing.cloudformation_nested import Family
from homeport.testing.cloudformation_state import (
    Asked,
    Contents,
    Failure,
    StackState,
    Step,
    World,
    creation,
    deletion,
    update,
)
from homeport.testing.lookup import FakeLookup

ACCOUNT = "123456789012"
LARGEST_INLINE_BYTES = 51_200
P = ParamSpec("P")
R = TypeVar("R")


class FakeCloud:
    """Any number of accounts and regions. `account`: whose credentials the caller has, unless a role is taken on."""

    def __init__(self, account: str = ACCOUNT, path: Path | None = None) -> None:
        self.account = account
        self.path = path
        self.world = msgspec.json.decode(path.read_bytes(), type=World) if path and path.exists() else World()
        self.lock = threading.RLock()
        self.calls: list[str] = []
        self.values: dict[str, str | Secret] = {}
        """What `lookup` finds, by what it is asked for."""
        self._errors: list[HomeportError] = []
        self._behind = 0
        self._old: dict[str, Deployed | None] = {}

    # --- the port

    def caller(self, target: Target) -> str:
        self._arrive("caller")
        return target.role.split(":")[4] if target.role.startswith("arn:") else self.account

    def cloudformation(self, target: Target) -> "FakeCloudFormation":
        return FakeCloudFormation(self, self.caller_quietly(target), target.region)

    def lookup(self, target: Target) -> "FakeLookup":
        return FakeLookup(self.values, self._arrive)

    def caller_quietly(self, target: Target) -> str:
        return target.role.split(":")[4] if target.role.startswith("arn:") else self.account

    # --- the script

    def fail(self, stack: str, logical_id: str, reason: str, *, stuck: bool = False) -> None:
        """The next operation on the stack fails at this resource; `stuck`: the way back too."""
        self.world.failures.setdefault(stack, []).append(Failure(logical_id, reason, stuck))
        self.keep()

    def replaces(self, stack: str, logical_id: str) -> None:
        """A change of this resource makes it anew, whatever the schemas say."""
        self.world.replaced.setdefault(stack, []).append(logical_id)
        self.keep()

    def throttle(self, calls: int) -> None:
        """API, common errors: "ThrottlingException: The request was denied due to request throttling." """
        refusal = Unavailable("CloudFormation throttles: Rate exceeded", retry_after=timedelta(seconds=1))
        self._errors += [refusal] * calls

    def expire(self, calls: int = 1) -> None:
        """API, common errors: "ExpiredTokenException: The security token included in the request is expired." """
        self._errors += [Invalid("the credentials are expired", hint="aws sso login")] * calls

    def offline(self, calls: int = 1) -> None:
        self._errors += [Unavailable("can't reach cloudformation.eu-west-1.amazonaws.com: no network")] * calls

    def lag(self, looks: int) -> None:
        """The next so many descriptions of stacks show what was before: reads are eventually consistent."""
        self._behind = looks
        self._old = {key: self._described(key) for key in self.world.stacks}

    def drift(self, stack: str, *drifts: Drift) -> None:
        """Somebody has changed or deleted these resources by hand."""
        self.world.drifts[stack] = list(drifts)
        self.keep()

    def stack(self, name: str, region: str = "eu-west-1") -> StackState:
        """As it is now. Raises KeyError."""
        return self.world.stacks[f"{self.account}/{region}/{name}"]

    def settle(self) -> None:
        """All that goes on has come to its end."""
        for each in list(self.world.stacks):
            while each in self.world.stacks and self.world.stacks[each].steps:
                self.advance(each)

    # --- for the faces

    def _arrive(self, call: str) -> None:
        self.calls.append(call)
        if self._errors:
            raise self._errors.pop(0)

    def advance(self, key: str) -> None:
        state = self.world.stacks.get(key)
        if state is None:
            return
        state.advance(self.world.now())
        if state.status is Status.DELETE_COMPLETE:
            # UG: "You can view … deleted stacks … by their stack ID"
            self.world.deleted[state.id] = self.world.stacks.pop(key)

    def seen(self, key: str) -> Deployed | None:
        """As a description shows it just now."""
        if self._behind > 0:
            self._behind -= 1
            return self._old.get(key)
        return self._described(key)

    def _described(self, key: str) -> Deployed | None:
        state = self.world.stacks.get(key)
        account, region, _ = key.split("/")
        return state.describe(account, region) if state else None

    def keep(self) -> None:
        if self.path is not None:
            part = self.path.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(self.world))
            part.replace(self.path)


def _call(
    function: "Callable[Concatenate[FakeCloudFormation, P], R]",
) -> "Callable[Concatenate[FakeCloudFormation, P], R]":
    """One call of the service: counted, perhaps refused, kept."""

    def call(self: "FakeCloudFormation", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.cloud.lock:
            self.cloud._arrive(function.__name__)
            try:
                return function(self, *args, **kwargs)
            finally:
                self.cloud.keep()

    return call


class FakeCloudFormation:
    """One account and region. Implements `ports.cloudformation.CloudFormation`."""

    def __init__(self, cloud: FakeCloud, account: str, region: str) -> None:
        self.cloud = cloud
        self.account = account
        self.region = region

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
        body = self._checked(request)
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
        asked = self._asked(state, request, body)
        state.asked[asked.change_set.id] = asked
        return asked.change_set.id

    @_call
    def change_set(self, id: str) -> ChangeSet:
        asked = self._found(id)[1]
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
            if id in state.asked:
                return state, state.asked[id]
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

    def _checked(self, request: ChangeRequest) -> Template:
        """The template's meaning. Raises `Invalid` in CloudFormation's words."""
        body = parse(self._text(request), "Template format error")
        known = declared(body.body)
        extra = sorted(request.parameters.keys() - known.keys())
        if extra:
            raise Invalid(f"Parameters: [{', '.join(extra)}] do not exist in the template")
        missing = [name for name, each in known.items() if each.default is None and name not in request.parameters]
        if missing:
            raise Invalid(f"Parameters: [{', '.join(missing)}] must have values")
        lacking = sorted(set(capabilities(body.body)) - set(request.capabilities))
        if lacking:
            # API: "If you don't specify either of these capabilities, CloudFormation returns an
            # InsufficientCapabilities error."
            raise Invalid(f"Requires capabilities : [{', '.join(lacking)}]")
        return body.body

    def _family(self) -> Family:
        return Family(self.cloud.world, (self.account, self.region), self._object, Schemas(self.region))

    def _text(self, request: ChangeRequest) -> str:
        if not request.template_url:
            if len(request.template.encode()) > LARGEST_INLINE_BYTES:
                # API, TemplateBody: "The minimum length is 1 byte, and the maximum length is 51,200 bytes."
                raise Invalid("'templateBody' failed to satisfy constraint: Member must have length less than 51200")
            return request.template
        return self._object(request.template_url)

    def _object(self, url: str) -> str:
        host, _, key = url.removeprefix("https://").partition("/")
        place = f"{host.partition('.')[0]}/{key}"
        if place not in self.cloud.world.objects:
            raise Invalid("S3 error: The specified key does not exist.")
        return self.cloud.world.objects[place]

    def _asked(self, state: StackState, request: ChangeRequest, body: Template) -> Asked:
        values = {
            name: each.reveal() if isinstance(each, Secret) else each for name, each in request.parameters.items()
        }
        contents = Contents(
            template=self._text(request),
            parameters=values,
            tags=dict(request.tags),
            capabilities=request.capabilities,
            service_role=request.service_role,
            notifications=request.notifications,
        )
        changes = self._changes(state, contents, body)
        if request.imports:
            imported = {each.logical_id for each in request.imports}
            # API, CreateChangeSet, IMPORT: resources to import must have a DeletionPolicy
            bare = [
                name for name in sorted(imported) if "DeletionPolicy" not in body.get("Resources", {}).get(name, {})
            ]
            if bare:
                raise Invalid(f"Resources [{', '.join(bare)}] is missing mandatory DeletionPolicy attribute")
            changes = tuple(
                msgspec.structs.replace(each, action="import") if each.logical_id in imported else each
                for each in changes
            )
            if any(each.action != "import" for each in changes):
                # UG: "you can't … create, update, or delete" in the same operation
                raise Invalid("You have modified resources in your template that are not being imported.")
        contents.physical = self._physical(state, changes, body)
        differs = changes or self._whole(state.contents) != self._whole(contents)
        number = hashlib.sha256(f"{state.id} {request.name} {self.cloud.world.now()}".encode()).hexdigest()[:8]
        # UG, Troubleshooting: "The submitted information didn't contain changes. Submit different information to
        # create a change set." The change set's status is FAILED.
        reason = "" if differs else "The submitted information didn't contain changes."
        change_set = ChangeSet(
            id=f"arn:aws:cloudformation:{self.region}:{self.account}:changeSet/{request.name}/{number}",
            name=request.name,
            stack=state.id,
            status=ChangeSetStatus.READY if differs else ChangeSetStatus.EMPTY,
            reason=reason,
            changes=changes,
        )
        return Asked(change_set=change_set, contents=contents, create=request.create)

    def _whole(self, contents: Contents) -> tuple[object, ...]:
        """What an update without changed resources can still change: tags, outputs, notifications, the role."""
        said = evaluate(contents.body, self._scene(contents)).get("Outputs")
        hidden = [contents.parameters.get(name) for name, each in declared(contents.body).items() if each.hidden]
        return contents.tags, said, contents.notifications, contents.service_role, hidden

    def _scene(self, contents: Contents) -> dict[str, object]:
        pseudo = {"AWS::Region": self.region, "AWS::AccountId": self.account}
        known = {name: msgspec.structs.replace(each, hidden=False) for name, each in declared(contents.body).items()}
        return scene(known, contents.parameters, pseudo)

    def _changes(self, state: StackState, contents: Contents, body: Template) -> tuple[ResourceChange, ...]:
        old = evaluate(state.contents.body, self._scene(state.contents)) if state.contents.template else {}
        found = predict(old, evaluate(body, self._scene(contents)), Schemas(self.region))
        forced = self.cloud.world.replaced.get(state.name, [])
        return tuple(
            msgspec.structs.replace(each, replacement=Replacement.YES)
            if each.logical_id in forced and each.action == "modify"
            else each
            for each in found
        )

    def _physical(self, state: StackState, changes: tuple[ResourceChange, ...], body: Template) -> dict[str, str]:
        fresh = ("add", "import")
        new = {each.logical_id for each in changes if each.action in fresh or each.replacement is Replacement.YES}
        gone = {each.logical_id for each in changes if each.action == "remove"}
        kept = {name: id for name, id in state.contents.physical.items() if name not in gone}
        serial = self.cloud.world.ticks
        return kept | {name: f"{state.name}-{name}-{serial}" for name in sorted(new)}


def _last(state: StackState, name: str) -> str:
    """The status of a resource, as its last event has it."""
    return next((each.status for each in reversed(state.events) if each.logical_id == name), "CREATE_COMPLETE")


def open_cloud(argument: str) -> FakeCloud:
    """For `HOMEPORT_CLOUD=fake:<file>`: kept in the file. HOMEPORT_FAKE_ACCOUNT: the caller's account."""
    return FakeCloud(os.environ.get("HOMEPORT_FAKE_ACCOUNT", ACCOUNT), Path(argument) if argument else None)
