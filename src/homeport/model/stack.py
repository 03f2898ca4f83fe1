"""Stacks as a project says them, as CloudFormation has them, and what would change. Used by plan.stack, ports and the
room stacks."""

from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from msgspec import Struct

from homeport.model.located import Located, Mark
from homeport.model.secret import Secret

Template: TypeAlias = dict[str, Any]
"""A template's meaning: JSON values, intrinsic functions in their long form."""


class Unknown(Struct, frozen=True):
    """A value that can only be known after an apply. `of`: what it depends on, such as `production/network/VpcId`."""

    of: tuple[str, ...]

    def __str__(self) -> str:
        return f"(known after apply: {', '.join(self.of)})"


Value: TypeAlias = "str | Secret | Unknown | list[Value] | dict[str, Value]"
"""What a setting comes to once its resolvers have been asked."""


class Target(Struct, frozen=True, order=True):
    """Where a stack stands. `account` is its twelve digits; empty: not stated, and nothing may be applied."""

    account: str
    region: str
    role: str = ""
    """A role to take on there; empty: the caller's own credentials."""


class Stack(Struct, frozen=True, kw_only=True):
    """One stack as the project says it: settings merged, resolvers not yet asked."""

    id: str
    """Its path in the project: `production/eu-west-1/web`."""
    environment: str
    name: str
    """CloudFormation's name."""
    target: Target
    template: str
    """Path, relative to the project."""
    parameters: dict[str, Located]
    tags: dict[str, Located]
    variables: dict[str, str]
    depends_on: tuple[str, ...] = ()
    """Ids; stated, without those that references add."""
    service_role: str = ""
    notifications: tuple[str, ...] = ()
    capabilities: tuple[str, ...] | None = None
    """None: those that the template needs."""
    policy: str = ""
    """Path of the stack policy, relative to the project; empty: none is stated."""
    termination_protection: bool = False
    project: str = ""
    """The project's name, which becomes a tag; empty: it has none."""
    bucket: str = ""
    """Where nested and large templates are uploaded; empty: none is stated."""
    bucket_prefix: str = ""
    protected: bool = False
    """It may hold databases and caches: somebody knows what that means."""
    obsolete: bool = False
    """It shall be deleted where it stands."""
    at: Mark
    files: tuple[str, ...] = ()
    """What it was merged from, the farthest first."""


# --- as CloudFormation has it ---------------------------------------------------------------------------------------


class Status(StrEnum):
    """A stack's, in CloudFormation's words."""

    CREATE_IN_PROGRESS = "CREATE_IN_PROGRESS"
    CREATE_FAILED = "CREATE_FAILED"
    CREATE_COMPLETE = "CREATE_COMPLETE"
    ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"
    ROLLBACK_COMPLETE = "ROLLBACK_COMPLETE"
    DELETE_IN_PROGRESS = "DELETE_IN_PROGRESS"
    DELETE_FAILED = "DELETE_FAILED"
    DELETE_COMPLETE = "DELETE_COMPLETE"
    UPDATE_IN_PROGRESS = "UPDATE_IN_PROGRESS"
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
    UPDATE_COMPLETE = "UPDATE_COMPLETE"
    UPDATE_FAILED = "UPDATE_FAILED"
    UPDATE_ROLLBACK_IN_PROGRESS = "UPDATE_ROLLBACK_IN_PROGRESS"
    UPDATE_ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
    UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS = "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"
    UPDATE_ROLLBACK_COMPLETE = "UPDATE_ROLLBACK_COMPLETE"
    REVIEW_IN_PROGRESS = "REVIEW_IN_PROGRESS"
    IMPORT_IN_PROGRESS = "IMPORT_IN_PROGRESS"
    IMPORT_COMPLETE = "IMPORT_COMPLETE"
    IMPORT_ROLLBACK_IN_PROGRESS = "IMPORT_ROLLBACK_IN_PROGRESS"
    IMPORT_ROLLBACK_FAILED = "IMPORT_ROLLBACK_FAILED"
    IMPORT_ROLLBACK_COMPLETE = "IMPORT_ROLLBACK_COMPLETE"

    @property
    def busy(self) -> bool:
        """CloudFormation works on it. A stack under review only waits."""
        return self.endswith("_IN_PROGRESS") and self is not Status.REVIEW_IN_PROGRESS


class Deployed(Struct, frozen=True, kw_only=True):
    """A stack as CloudFormation describes it. Values of NoEcho parameters are asterisks there."""

    id: str
    """Its ARN: another one once it was deleted and made anew."""
    name: str
    status: Status
    reason: str = ""
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}
    outputs: dict[str, str] = {}
    capabilities: tuple[str, ...] = ()
    service_role: str = ""
    notifications: tuple[str, ...] = ()
    termination_protection: bool = False
    parent: str = ""
    """Id of the stack that it is nested in; empty: none."""
    changed_at: datetime
    """When it was last created or updated."""


class StackEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened to a resource of a stack, or to the stack itself (`type` AWS::CloudFormation::Stack and
    `physical_id` its own id)."""

    id: str
    at: datetime
    stack: str
    """The stack's id; of a nested stack its own."""
    logical_id: str
    physical_id: str = ""
    type: str
    status: str
    reason: str = ""
    token: str = ""
    """What the operation was started with."""
    cancelled: bool = False
    """It failed only because CloudFormation gave up on the others."""

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")


class StackResource(Struct, frozen=True, kw_only=True):
    """A resource of a deployed stack."""

    logical_id: str
    physical_id: str = ""
    type: str
    status: str
    reason: str = ""


class Drift(Struct, frozen=True, kw_only=True):
    """A resource that isn't as the stack's template says. `differences`: one line each, expected → actual."""

    logical_id: str
    physical_id: str = ""
    type: str
    deleted: bool = False
    differences: tuple[str, ...] = ()


class Import(Struct, frozen=True, kw_only=True):
    """A resource that exists, to be taken into a stack. `identifier`: the properties that name it."""

    logical_id: str
    type: str
    identifier: dict[str, str]


class ChangeRequest(Struct, frozen=True, kw_only=True):
    """What a change set is asked for."""

    stack: str
    name: str
    create: bool
    """The stack isn't there yet."""
    template: str
    template_url: str = ""
    """Where the template lies, if it is too large to be sent."""
    imports: tuple[Import, ...] = ()
    parameters: dict[str, str | Secret]
    tags: dict[str, str]
    capabilities: tuple[str, ...] = ()
    service_role: str = ""
    notifications: tuple[str, ...] = ()
    nested: bool = False
    """Whether nested stacks get change sets too."""


class Replacement(StrEnum):
    """Whether a change makes a resource anew."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


class ResourceChange(Struct, frozen=True, kw_only=True):
    """One line of a change set, or of what we predict of one."""

    action: str
    """`add`, `modify`, `remove`; of a change set also `import` and `dynamic`."""
    logical_id: str
    type: str
    replacement: Replacement = Replacement.NO
    causes: tuple[str, ...] = ()
    """Properties that change, and why it is made anew."""
    retained: bool = False
    """What is removed or replaced isn't deleted."""


class ChangeSetStatus(StrEnum):
    PENDING = "pending"
    READY = "ready"
    EMPTY = "empty"
    """There is nothing to change."""
    FAILED = "failed"


class ChangeSet(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    stack: str
    status: ChangeSetStatus
    reason: str = ""
    changes: tuple[ResourceChange, ...] = ()
    tags: dict[str, str] = {}
    """What the stack's will be; empty where they weren't asked for."""
    nested: dict[str, str] = {}
    """Logical id of a nested stack → id of its own change set, where those were asked for."""
