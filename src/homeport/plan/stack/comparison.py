"""Where a stack as it stands and as it shall be differ, as it may be shown. Called by `decide`."""

from typing import Any

import msgspec

from homeport.model.secret import Secret
from homeport.model.stack import Deployed, Template, Unknown
from homeport.model.stack_plan import Change
from homeport.plan.stack.parameter import MASK, declared, scalar
from homeport.plan.stack.replacement import differences
from homeport.plan.stack.state import Observed, Wanted


def parameters(wanted: Wanted, seen: Observed) -> tuple[Change, ...]:
    known = declared(wanted.template)
    before: dict[str, str] = dict(seen.deployed.parameters) if seen.deployed else {}
    old_ones = declared(seen.template)
    found = []
    for name in sorted(known.keys() | before.keys()):
        value = wanted.parameters.get(name, known[name].default) if name in known else None
        hidden = any(name in each and each[name].hidden for each in (known, old_ones))
        if _same(before.get(name), value, hidden=hidden):
            continue
        found.append(Change(name=name, before=_was(before.get(name), value, hidden), after=_is(value, hidden)))
    return tuple(found)


def _same(before: str | None, value: str | Secret | Unknown | None, *, hidden: bool) -> bool:
    if hidden and before is not None and value is not None:
        return True
    return before == (value.reveal() if isinstance(value, Secret) else value)


def _was(before: str | None, value: object, hidden: bool) -> str | None:
    return MASK if before is not None and (hidden or isinstance(value, Secret)) else before


def _is(value: str | Secret | Unknown | None, hidden: bool) -> str | None:
    return None if value is None else MASK if hidden else str(value)


def tags(wanted: Wanted, deployed: Deployed | None) -> tuple[Change, ...]:
    before = deployed.tags if deployed else {}
    return tuple(
        Change(name=name, before=_was(before.get(name), value, hidden=False), after=_is(value, hidden=False))
        for name in sorted(before.keys() | wanted.tags.keys())
        if not _same(before.get(name), value := wanted.tags.get(name), hidden=False)
    )


def settings(wanted: Wanted, seen: Observed) -> tuple[Change, ...]:
    """Service role, notifications, termination protection and stack policy."""
    assert seen.deployed is not None
    stack, deployed = wanted.stack, seen.deployed
    pairs = [
        ("notifications", ", ".join(deployed.notifications), ", ".join(stack.notifications)),
        (
            "termination_protection",
            scalar(deployed.termination_protection),
            scalar(stack.termination_protection),
        ),
    ]
    # CloudFormation keeps the role of the last operation: none stated changes nothing.
    if stack.service_role:
        pairs.append(("service_role", deployed.service_role, stack.service_role))
    if wanted.policy is not None and _json(wanted.policy) != _json(seen.policy):
        pairs.append(("policy", seen.policy, wanted.policy))
    return tuple(
        Change(name=name, before=one or None, after=other or None) for name, one, other in pairs if one != other
    )


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.DecodeError:
        return text


def outputs(old: Template, new: Template) -> tuple[Change, ...]:
    before, after = old.get("Outputs", {}), new.get("Outputs", {})
    found = []
    for name in sorted(before.keys() | after.keys()):
        lines = differences(before.get(name), after.get(name))
        if lines and old:
            one, _, other = lines[0].partition(" → ")
            found.append(Change(name=name, before=one, after=other))
    return tuple(found)
