"""A scripted CloudFormation behind `ports.cloudformation`, for tests of Homeport and of whoever writes stacks.

    cloud = FakeCloud()
    cloud.fail("web", "Instance", "no such image")      # the next operation on this stack goes wrong
    cloud.throttle(3)                                   # the next three calls are refused
    cloud.lag(2)                                        # what was just done is seen two looks later

Stacks move one step at each look, so that no time has to pass. With a `path` it is kept in a file: programs that run
one after the other see the same world (`HOMEPORT_CLOUD=fake:world.json`).

Not done: exports and imports of values, limits on the number of things.
"""

import os
import threading
from datetime import timedelta
from pathlib import Path

import msgspec

from homeport.errors import HomeportError, Invalid, Unavailable
from homeport.model.secret import Secret
from homeport.model.stack import Deployed, Drift, Status, Target
from homeport.testing.cloudformation_api import FakeCloudFormation
from homeport.testing.cloudformation_state import (
    Failure,
    StackState,
    World,
)
from homeport.testing.lookup import FakeLookup

ACCOUNT = "123456789012"


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
        self._kept = b""
        self._errors: list[HomeportError] = []
        self._behind = 0
        self._old: dict[str, Deployed | None] = {}

    # --- the port

    def caller(self, target: Target) -> str:
        self.arrive("caller")
        return target.role.split(":")[4] if target.role.startswith("arn:") else self.account

    def cloudformation(self, target: Target) -> FakeCloudFormation:
        return FakeCloudFormation(self, self.caller_quietly(target), target.region)

    def lookup(self, target: Target) -> FakeLookup:
        return FakeLookup(self.values, self.arrive)

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

    def refuse_nested(self, stack: str) -> None:
        """It can't look into the stacks that are nested in this one: as where a function in them needs a value that is
        only known once it works on them."""
        self.world.no_nested.append(stack)
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

    def arrive(self, call: str) -> None:
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
        if self.path is None:
            return
        data = msgspec.json.encode(self.world)
        if data != self._kept:
            part = self.path.with_suffix(".part")
            part.write_bytes(data)
            part.replace(self.path)
            self._kept = data


def open_cloud(argument: str) -> FakeCloud:
    """For `HOMEPORT_CLOUD=fake:<file>`: kept in the file. HOMEPORT_FAKE_ACCOUNT: the caller's account."""
    return FakeCloud(os.environ.get("HOMEPORT_FAKE_ACCOUNT", ACCOUNT), Path(argument) if argument else None)
