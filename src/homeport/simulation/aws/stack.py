"""What one create, update or delete makes of a stack of the simulated CloudFormation: resources in the order of their
references, events, the way back where one fails. Called by `cloudformation`, in a thread for each operation.

Sentences in quotation marks are AWS's: CloudFormation User Guide (UG) and API Reference (API).
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from homeport.model.stack import Template
from homeport.plan.stack.evaluate import evaluate, references
from homeport.plan.stack.parameter import scalar
from homeport.simulation.aws import stack_type
from homeport.simulation.aws.stack_model import Contents, Place, Resource, Stack, values
from homeport.simulation.aws.stack_value import Scene, Unresolvable
from homeport.system.clock import SystemClock, pause

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 900.0
KEPT = ("Retain", "RetainExceptOnCreate", "Snapshot")


class Broken(Exception):
    """A resource couldn't be made, changed or deleted."""


class Operation:
    """On one stack; its methods go on until the stack has come to rest. `stopped` ends all waiting."""

    def __init__(self, stack: Stack, contents: Contents, place: Place, stopped: threading.Event) -> None:
        self.stack = stack
        self.contents = contents
        self.place = place
        self.stopped = stopped
        self._made: list[str] = []
        self._leaving: list[Resource] = []
        self._before: dict[str, Resource] = {}

    def create(self) -> None:
        self.stack.contents = self.contents
        self.stack.record("CREATE_IN_PROGRESS", reason="User Initiated")
        try:
            self._bring()
            self._tell()
        except Broken as error:
            # UG, stack failure options: "Roll back all stack resources"; "ROLLBACK_COMPLETE … can only be deleted."
            self.stack.record("ROLLBACK_IN_PROGRESS", reason=str(error))
            left = self._delete([self.stack.resources[name] for name in reversed(self._made)])
            self.stack.record("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE", reason=left)
            return
        self.stack.record("CREATE_COMPLETE")

    def update(self) -> None:
        """UG, update behaviors: "After successfully creating the new resource, CloudFormation … deletes the old
        resource." """
        old = self.stack.contents
        self._before = dict(self.stack.resources)
        self.stack.updated_at = SystemClock().now()
        self.stack.contents = self.contents
        self.stack.record("UPDATE_IN_PROGRESS", reason="User Initiated")
        try:
            self._bring()
            self._tell()
        except Broken as error:
            self.stack.record("UPDATE_ROLLBACK_IN_PROGRESS", reason=str(error))
            self._go_back(old)
            return
        self.stack.record("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        gone = [each for name, each in self._before.items() if name not in self._wanted()["Resources"]]
        self._delete([*self._leaving, *reversed(gone)])
        self.stack.record("UPDATE_COMPLETE")

    def delete(self, retain: tuple[str, ...] = ()) -> None:
        self.stack.record("DELETE_IN_PROGRESS", reason="User Initiated")
        for name in retain:
            self.stack.resources.pop(name, None)
        left = self._delete(list(reversed(self.stack.resources.values())))
        self.stack.outputs = [] if not left else self.stack.outputs
        self.stack.record("DELETE_FAILED" if left else "DELETE_COMPLETE", reason=left)

    # --- forward

    def _wanted(self) -> Template:
        """The template with conditions decided."""
        return evaluate(self.contents.body, values(self.contents, self.stack, self.place))

    def _bring(self) -> None:
        """Raises `Broken` at the first resource that can't be had."""
        body = self._wanted()["Resources"]
        for name in _ordered(body):
            said = body[name]
            kind, old = str(said["Type"]), self.stack.resources.get(name)
            try:
                properties = self._scene().resolve(said.get("Properties", {}))
                if kind not in stack_type.TYPES:
                    raise Unresolvable(f"the simulator can't make resources of the type {kind}")
            except (Unresolvable, IndexError, TypeError, ValueError) as error:
                self._fail(name, kind, "UPDATE" if old else "CREATE", str(error))
            policy = str(said.get("DeletionPolicy", ""))
            if old is None:
                self._make(name, kind, properties, policy)
            elif old.properties == properties:
                self.stack.resources[name] = replace(old, policy=policy)
            elif self._replaced(old, properties):
                self._make(name, kind, properties, policy)
                self._leaving.append(old)
            else:
                self._change(old, properties, policy)

    def _replaced(self, old: Resource, properties: dict[str, Any]) -> bool:
        schema = self.place.schema(old.type)
        return schema is not None and any(_at(old.properties, path) != _at(properties, path)
                                          for path in schema.create_only)  # fmt: skip

    def _make(self, name: str, kind: str, properties: dict[str, Any], policy: str) -> None:
        verb = "UPDATE" if name in self.stack.resources else "CREATE"
        blank = Resource(
            name=name, type=kind, id="", properties=properties, attributes={}, policy=policy, at=SystemClock().now()
        )
        self.stack.record(f"{verb}_IN_PROGRESS", blank, name)
        with_scene = self._in(name)
        made = self._tried(name, kind, verb, lambda: stack_type.TYPES[kind].create(with_scene, properties))
        found = replace(blank, id=made.id, attributes=made.attributes, status=f"{verb}_COMPLETE")
        self.stack.resources[name] = found
        self._made.append(name)
        self.stack.record(f"{verb}_COMPLETE", found, name)

    def _change(self, old: Resource, properties: dict[str, Any], policy: str) -> None:
        update = stack_type.TYPES[old.type].update
        if update is None:
            self._fail(old.name, old.type, "UPDATE", f"the simulator can't update {old.type} in place")
        assert update is not None
        self.stack.record("UPDATE_IN_PROGRESS", old, old.name)
        change, scene = update, self._in(old.name)
        made = self._tried(old.name, old.type, "UPDATE", lambda: change(scene, old.id, properties, old.properties))
        found = replace(
            old,
            properties=properties,
            attributes=made.attributes,
            policy=policy,
            status="UPDATE_COMPLETE",
            at=SystemClock().now(),
        )
        self.stack.resources[old.name] = found
        self._made.append(old.name)
        self.stack.record("UPDATE_COMPLETE", found, old.name)

    def _tried(self, name: str, kind: str, verb: str, act: Callable[[], stack_type.Made]) -> stack_type.Made:
        try:
            made = act()
            if not made.id:
                raise LookupError("it was made, and nobody knows its id")
            return made
        except ClientError as error:
            self._fail(name, kind, verb, _words(error))
        except (BotoCoreError, LookupError, TypeError, ValueError, NotImplementedError) as error:
            self._fail(name, kind, verb, f"{type(error).__name__}: {error}")
        raise AssertionError

    def _fail(self, name: str, kind: str, verb: str, reason: str) -> None:
        blank = Resource(name=name, type=kind, id="", properties={}, attributes={}, at=SystemClock().now())
        self.stack.record(f"{verb}_FAILED", self.stack.resources.get(name, blank), name, reason)
        failed = "update" if verb == "UPDATE" else "create"
        raise Broken(f"The following resource(s) failed to {failed}: [{name}]. ")

    def _tell(self) -> None:
        """Outputs."""
        found = []
        try:
            for name, said in self._wanted().get("Outputs", {}).items():
                one = {"OutputKey": name, "OutputValue": scalar(self._scene().resolve(said["Value"]))}
                if "Description" in said:
                    one["Description"] = str(said["Description"])
                if "Export" in said:
                    one["ExportName"] = str(self._scene().resolve(said["Export"]["Name"]))
                found.append(one)
        except Unresolvable as error:
            raise Broken(f"outputs: {error}") from error
        self.stack.outputs = found

    # --- back, and away

    def _go_back(self, old: Contents) -> None:
        """UG, update rollback: "CloudFormation rolls back to the previous working state." """
        self.stack.contents = self.contents = old
        fresh: list[Resource] = []
        for name in reversed(self._made):
            now, before = self.stack.resources[name], self._before.get(name)
            if before is None or before.id != now.id:
                fresh.append(now)
            else:
                update = stack_type.TYPES[now.type].update
                assert update is not None
                try:
                    update(self._in(name), now.id, before.properties, now.properties)
                except (ClientError, BotoCoreError) as error:
                    self.stack.record("UPDATE_FAILED", now, name, _words(error))
                    self.stack.record("UPDATE_ROLLBACK_FAILED", reason=f"[{name}]")
                    return
            if before is not None:
                self.stack.resources[name] = before
                self.stack.record("UPDATE_COMPLETE", before, name)
        self.stack.record("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._delete([replace(each, policy="") for each in fresh])
        self.stack.record("UPDATE_ROLLBACK_COMPLETE")

    def _delete(self, resources: list[Resource]) -> str:
        """Why something is left; empty: nothing is."""
        left = []
        for each in resources:
            if each.policy in KEPT:
                self.stack.record("DELETE_SKIPPED", each, each.name)
            elif reason := self._deleted(each):
                self.stack.record("DELETE_FAILED", each, each.name, reason)
                left.append(each.name)
                continue
            else:
                self.stack.record("DELETE_COMPLETE", each, each.name)
            if self.stack.resources.get(each.name, each).id == each.id:
                self.stack.resources.pop(each.name, None)
        return f"The following resource(s) failed to delete: [{', '.join(left)}]. " if left else ""

    def _deleted(self, resource: Resource) -> str:
        self.stack.record("DELETE_IN_PROGRESS", resource, resource.name)
        kind, scene = stack_type.TYPES[resource.type], self._in(resource.name)
        waited = 0.0
        try:
            kind.delete(scene, resource.id, resource.properties)
            while kind.gone is not None and not kind.gone(scene, resource.id):
                if self.stopped.is_set() or waited > PATIENCE_SECONDS:
                    return "it doesn't go"
                pause(LOOK_SECONDS)
                waited += LOOK_SECONDS
        except ClientError as error:
            # UG: a resource that somebody deleted by hand counts as deleted
            return "" if stack_type.missing(error) else _words(error)
        except (BotoCoreError, LookupError, TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return ""

    # --- scenes

    def _in(self, name: str) -> stack_type.Scene:
        place, stack = self.place, self.stack
        serial = hashlib.sha256(f"{stack.id} {name} {len(stack.events)}".encode()).hexdigest()[:12]
        own = {
            "aws:cloudformation:stack-name": stack.name,
            "aws:cloudformation:stack-id": stack.id,
            "aws:cloudformation:logical-id": name,
        }
        unique = f"{stack.name[:12].rstrip('-')}-{name[:12]}-{serial[:6]}"
        tags = {**self.contents.tags, **own}
        return stack_type.Scene(place.client, place.account, place.region, stack.name, unique, tags)

    def _scene(self) -> Scene:
        refs = values(self.contents, self.stack, self.place)
        refs |= {name: each.id for name, each in self.stack.resources.items()}
        return Scene(refs, self._attribute, self._import, self.place.zones)

    def _attribute(self, name: str, attribute: str) -> Any:
        found = self.stack.resources.get(name)
        if found is None or attribute not in found.attributes:
            raise Unresolvable(f"Template error: the simulator knows no attribute {attribute} of the resource {name}")
        return found.attributes[attribute]

    def _import(self, export: str) -> str:
        found = self.place.exports()
        if export not in found:
            raise Unresolvable(f"No export named {export} found.")
        self.stack.imports.add(export)
        return found[export]


def _ordered(body: Mapping[str, Any]) -> Iterator[str]:
    """Names of resources, each behind all that it needs. Raises `Broken` for a circle."""
    graph = {}
    for name, said in body.items():
        stated = said.get("DependsOn", ())
        needed = {stated} if isinstance(stated, str) else set(stated)
        graph[name] = [each for each in body if each in needed | references(said.get("Properties", {}))]
    try:
        yield from TopologicalSorter(graph).static_order()
    except CycleError as error:
        raise Broken(f"Circular dependency between resources: {error.args[1]}") from error


def _at(properties: Any, path: tuple[str, ...]) -> Any:
    found = properties
    for step in path:
        if isinstance(found, list):
            return found
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _words(error: Exception) -> str:
    """As CloudFormation passes on what a service said."""
    if not isinstance(error, ClientError):
        return str(error)
    said = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return f"{said.get('Message', error)} (Service: {error.operation_name}, Status Code: {status}, {said.get('Code')})"
