"""What an apply would do to stacks. Decided by plan.stack, kept in plan files, printed by `stack plan`."""

from enum import StrEnum

from msgspec import Struct

from homeport.model.stack import Drift, Replacement, ResourceChange, Target


class Action(StrEnum):
    CREATE = "create"
    RECREATE = "recreate"
    """The remains of a failed creation are deleted first."""
    UPDATE = "update"
    REPLACE = "replace"
    """An update that makes resources anew."""
    DELETE = "delete"
    NONE = "none"
    BLOCKED = "blocked"
    """It can't be applied as it stands; the reason says why."""


class Change(Struct, frozen=True, kw_only=True):
    """One named value, as it may be shown: secrets as ***. None: it isn't there."""

    name: str
    before: str | None
    after: str | None


class StackPlan(Struct, frozen=True, kw_only=True):
    """One stack's part. `base` and `wanted` are digests: of what is deployed, and of what shall be."""

    id: str
    name: str
    target: Target
    action: Action
    reason: str
    needs: tuple[str, ...] = ()
    """Ids in this plan that must be applied before."""
    parameters: tuple[Change, ...] = ()
    tags: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    outputs: tuple[Change, ...] = ()
    resources: tuple[ResourceChange, ...] = ()
    protected: tuple[str, ...] = ()
    """Logical ids of stateful resources that would be replaced or deleted."""
    consumers: tuple[str, ...] = ()
    """Ids of the project that read its outputs, where those change or go."""
    notes: tuple[str, ...] = ()
    drift: tuple[Drift, ...] = ()
    """Resources that aren't as the deployed template says, where that was asked for."""
    base: str = ""
    wanted: str = ""

    @property
    def changes(self) -> bool:
        return self.action not in (Action.NONE, Action.BLOCKED)

    @property
    def replaced(self) -> tuple[ResourceChange, ...]:
        return tuple(each for each in self.resources if each.replacement is not Replacement.NO)


class Problem(Struct, frozen=True, kw_only=True):
    """Why a stack has no plan."""

    id: str
    kind: str
    message: str
    hint: str | None = None
    details: tuple[str, ...] = ()


class Plan(Struct, frozen=True, kw_only=True):
    """Stacks in the order in which they are applied; what couldn't be planned is in `problems`."""

    stacks: tuple[StackPlan, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def changes(self) -> bool:
        return any(each.changes for each in self.stacks)
