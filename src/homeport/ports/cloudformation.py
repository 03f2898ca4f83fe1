"""CloudFormation, as a port. Adapters hide pages of answers, throttling (they try again by themselves for a while) and
what a service says in words; the scripted fake is `homeport.testing.cloudformation`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from homeport.model.stack import ChangeRequest, ChangeSet, Deployed, Drift, StackEvent, StackResource, Target
from homeport.ports.lookup import Lookup


class CloudFormation(Protocol):
    """One account and region. `stack` is a name or an id; the id finds deleted stacks too.

    Every method may raise `Unavailable` (no network, throttled for too long: `retry_after` says when to ask again;
    nothing was changed, or the repetition does no harm) and `Invalid` (credentials that are missing, expired or not
    allowed to). Reads are eventually consistent: what has just been made may not be seen yet.
    """

    def describe(self, stack: str) -> Deployed | None:
        """None: there is none of this name, or it was deleted."""
        ...

    def list(self) -> Iterable[Deployed]:
        """All that aren't deleted, of nobody's in particular."""
        ...

    def template(self, stack: str) -> str:
        """The text that it was created or updated with last. Raises `NotFound`; empty for a stack under review."""
        ...

    def policy(self, stack: str) -> str:
        """JSON text; empty: none. Raises `NotFound`."""
        ...

    def set_policy(self, stack: str, policy: str) -> None: ...

    def set_termination_protection(self, stack: str, on: bool) -> None: ...

    def create_change_set(self, request: ChangeRequest) -> str:
        """Its id. Raises `Conflict` where the stack is busy or has one of this name, `Invalid` for a template or
        parameters that CloudFormation refuses at once."""
        ...

    def change_set(self, id: str) -> ChangeSet:
        """Raises `NotFound`. Those of nested stacks are found too, but not executed or deleted by themselves."""
        ...

    def change_sets(self, stack: str) -> Iterable[ChangeSet]:
        """Those that weren't executed, without their changes."""
        ...

    def execute_change_set(self, id: str, token: str) -> None:
        """It has begun; repeated with the same token: nothing more. Raises `Conflict`, `NotFound`."""
        ...

    def delete_change_set(self, id: str) -> None:
        """It is gone, or soon will be, with those of nested stacks; no error if it wasn't there."""
        ...

    def events(self, stack: str, since: datetime | None = None) -> Sequence[StackEvent]:
        """Not older than `since`, the oldest first, those of nested stacks left out."""
        ...

    def resources(self, stack: str) -> Sequence[StackResource]:
        """In no particular order. Raises `NotFound`."""
        ...

    def detect_drift(self, stack: str) -> str:
        """An id to ask `drift` with: CloudFormation has begun to look. Raises `Conflict`, `NotFound`."""
        ...

    def drift(self, stack: str, detection: str) -> Sequence[Drift] | None:
        """None: it still looks. Raises `Failed` where it couldn't."""
        ...

    def continue_rollback(self, stack: str, token: str, *, skip: tuple[str, ...] = ()) -> None:
        """A rollback that got stuck goes on, without these resources. Raises `Conflict`."""
        ...

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """The URL for CloudFormation; what is already there under this key stays. Raises `NotFound` for the bucket."""
        ...

    def delete(self, stack: str, token: str, *, retain: tuple[str, ...] = ()) -> None:
        """It has begun; no error if the stack wasn't there. Raises `Conflict` for one that is protected."""
        ...

    def cancel_update(self, stack: str) -> None:
        """A running update goes back. Raises `Conflict` where none runs."""
        ...


class Cloud(Protocol):
    """Accounts and regions."""

    def caller(self, target: Target) -> str:
        """The account that the credentials for this target belong to. Raises `Invalid`, `Unavailable`."""
        ...

    def cloudformation(self, target: Target) -> CloudFormation: ...

    def lookup(self, target: Target) -> Lookup: ...
