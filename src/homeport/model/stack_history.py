"""What was done to a stack, as it is kept. Written by stacks.history, shown by `stack history`."""

from datetime import datetime

from msgspec import Struct

from homeport.model.stack_plan import StackPlan


class Begun(Struct, frozen=True, kw_only=True):
    """An operation, before it is begun. Values of secrets are ***."""

    number: int
    at: datetime
    who: str
    why: str = ""
    plan: StackPlan
    template: str = ""
    """As it was sent; empty: the stack is deleted."""
    template_url: str = ""
    parameters: dict[str, str] = {}
    tags: dict[str, str] = {}


class Ended(Struct, frozen=True, kw_only=True):
    """How it ended: `done`, `unchanged`, `failed`."""

    at: datetime
    outcome: str
    reason: str = ""


class Operated(Struct, frozen=True, kw_only=True):
    """`ended` None: it goes on, or whoever watched it died."""

    begun: Begun
    ended: Ended | None = None
