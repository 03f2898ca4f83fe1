"""The stacks of the simulated CloudFormation, by region, and what goes on in them. Used by `cloudformation`
and `change_set`.

Sentences in quotation marks are AWS's: CloudFormation User Guide (UG).
"""

import hashlib
import threading
from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from homeport.model.stack import Status
from homeport.simulation.aws import stack_contents
from homeport.simulation.aws.rights import Rights
from homeport.simulation.aws.service import Call, Refused
from homeport.simulation.aws.stack import Operation
from homeport.simulation.aws.stack_contents import Client
from homeport.simulation.aws.stack_model import Contents, Place, Stack
from homeport.stacks.schema import Schemas
from homeport.system.clock import SystemClock

UPDATABLE = (
    Status.CREATE_COMPLETE, Status.UPDATE_COMPLETE, Status.UPDATE_ROLLBACK_COMPLETE, Status.IMPORT_COMPLETE,
)  # fmt: skip
BEHALF = "cloudformation.amazonaws.com"


class Region(Struct):
    place: Place
    stacks: dict[str, Stack]
    """By id, those that were deleted too."""


class Register:
    def __init__(self, client: Client, account: str, rights: Rights) -> None:
        self.account = account
        self._client = client
        self._rights = rights
        self._regions: dict[str, Region] = {}
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._serial = 0

    def stop(self) -> None:
        """No operation goes on."""
        self._stopped.set()
        for each in self._threads:
            each.join()

    def region(self, name: str) -> Region:
        if name not in self._regions:
            zones = tuple(f"{name}{letter}" for letter in "abc")

            def exports() -> Mapping[str, str]:
                found = [each for stack in self.living(name) for each in stack.outputs if "ExportName" in each]
                return {each["ExportName"]: each["OutputValue"] for each in found}

            client = self._client
            place = Place(lambda service: client(service, name, ""), self.account, name, zones, exports, Schemas(name))
            self._regions[name] = Region(place, {})
        return self._regions[name]

    def living(self, region: str) -> list[Stack]:
        return [each for each in self.region(region).stacks.values() if each.status is not Status.DELETE_COMPLETE]

    def find(self, region: str, name: str) -> Stack | None:
        return next((each for each in self.living(region) if name in (each.name, each.id)), None)

    def named(self, call: Call, deleted: bool = False) -> Stack:
        """`deleted`: one that was deleted is found by its id."""
        name = call.get("StackName")
        found = self.find(call.region, name) or (self.region(call.region).stacks.get(name) if deleted else None)
        if found is None:
            raise Refused("ValidationError", f"Stack with id {name} does not exist")
        return found

    def new(self, call: Call) -> Stack:
        name = call.get("StackName")
        number = hashlib.sha256(f"{name} {self.serial()}".encode()).hexdigest()
        unique = f"{number[:8]}-{number[8:12]}-11f0-{number[12:16]}-{number[16:28]}"
        id = f"arn:aws:cloudformation:{call.region}:{self.account}:stack/{name}/{unique}"
        stack = Stack(id=id, name=name, status=Status.REVIEW_IN_PROGRESS, created_at=SystemClock().now())
        stack.record("REVIEW_IN_PROGRESS", reason="User Initiated")
        self.region(call.region).stacks[id] = stack
        return stack

    def serial(self) -> int:
        """One that nothing had yet."""
        self._serial += 1
        return self._serial

    def contents(self, call: Call, old: Stack | None, *, check: bool = True) -> Contents:
        return stack_contents.contents(call, old, self._client, check=check)

    def begin(self, stack: Stack, contents: Contents, call: Call, act: Callable[[Operation], None]) -> None:
        """UG, service role: "By default, CloudFormation uses a temporary session that it generates from your user
        credentials for stack operations." """
        own = self._rights.on_behalf(call.key, BEHALF)
        client, place = self._client, self.region(call.region).place
        place = replace(place, client=lambda service: client(service, call.region, own))
        operation = Operation(stack, contents, place, self._stopped)
        busy = "DELETE" if act not in (Operation.create, Operation.update) else act.__name__.upper()
        # told at once, so that nobody begins another one before the thread has
        stack.status = Status(f"{busy}_IN_PROGRESS")
        thread = threading.Thread(target=act, args=(operation,), name=f"stack {stack.name}", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()


def check_free(stack: Stack) -> None:
    if stack.status not in UPDATABLE:
        raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
