"""A stack as it shall be, and as it stands: what `decide` compares. Made by `stacks.planner`."""

import hashlib
from typing import Any

import msgspec
from msgspec import Struct

from homeport.model.secret import Secret
from homeport.model.stack import Deployed, Stack, Template, Unknown
from homeport.plan.stack.evaluate import HIDDEN, evaluate
from homeport.plan.stack.parameter import declared, scene


class Wanted(Struct, frozen=True, kw_only=True):
    """A stack as it shall be. `parameters`: those that are given."""

    stack: Stack
    template: Template
    parameters: dict[str, str | Secret | Unknown]
    tags: dict[str, str | Secret | Unknown]
    policy: str | None = None
    """JSON text; None: none is stated, and what is there stays."""
    capabilities: tuple[str, ...] = ()
    text: str = ""
    """The template as it is sent; where it is too large it lies at `url`."""
    url: str = ""
    objects: dict[str, str] = {}
    """What the stack's bucket must hold, by key."""
    nested: dict[str, Template] = {}
    """Templates of nested stacks, by the path of their logical ids: `Web`, `Web/Inner`."""


class Observed(Struct, frozen=True, kw_only=True):
    """A stack as it stands. `deployed` None: it isn't there."""

    deployed: Deployed | None = None
    template: Template = {}
    text: str = ""
    """The template as it was sent."""
    policy: str = ""
    nested: dict[str, Template] = {}


def evaluated(wanted: Wanted, seen: Observed) -> tuple[Template, Template]:
    """Both templates with what is known put in. A secret that is as it was is the same marker on both sides."""
    target = wanted.stack.target
    pseudo = {"AWS::Region": target.region, "AWS::AccountId": target.account, "AWS::StackName": wanted.stack.name}
    new = evaluate(wanted.template, scene(declared(wanted.template), wanted.parameters, pseudo))
    if seen.deployed is None or not seen.template:
        return {}, new
    before: dict[str, str | Secret | Unknown] = dict(seen.deployed.parameters)
    known = declared(seen.template)
    secrets = {name: value for name, value in wanted.parameters.items() if isinstance(value, Secret) and name in before}
    values = scene(known, before | secrets, pseudo)
    for name, value in secrets.items():
        if name in known and not known[name].hidden and before[name] != value.reveal():
            values[name] = {HIDDEN: f"{name}, as it was"}
    return evaluate(seen.template, values), new


def base_digest(seen: Observed) -> str:
    """Of all that is deployed: another one as soon as anybody changed anything."""
    return _sha256([seen.deployed, seen.text, seen.policy])


def wanted_digest(wanted: Wanted) -> str:
    """Of what shall be, secrets left out."""
    stack = wanted.stack
    return _sha256(
        [
            wanted.template,
            {name: str(value) for name, value in sorted(wanted.parameters.items())},
            {name: str(value) for name, value in sorted(wanted.tags.items())},
            [stack.name, stack.target, stack.service_role, stack.notifications, stack.termination_protection],
            [wanted.policy, wanted.capabilities, stack.obsolete],
        ]
    )


def _sha256(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
