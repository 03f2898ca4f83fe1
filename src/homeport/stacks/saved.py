"""Plan files: a plan that was reviewed, to be applied as it was or not at all. Called by `stack plan --out` and
`stack apply FILE`.

A file holds no secret and nothing that is executed: apply plans anew, and goes on only where the two are the same.
"""

import hashlib
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.stack_plan import Plan
from homeport.system import text_file
from homeport.system.effect import effect

FORMAT = "homeport stack plan 1"


class SavedPlan(Struct, frozen=True, kw_only=True):
    """Content of a plan file. `digest`: of `plan`; `hidden`: how it was made, see `Planner.hidden`."""

    format: str
    digest: str
    plan: Plan
    hidden: bool = False


@effect("stack_plan.write")
def write(plan: Plan, path: Path, *, hidden: bool = False) -> None:
    """The file has the plan. Raises `Invalid` where it can't be written."""
    saved = SavedPlan(format=FORMAT, digest=_digest(plan), plan=plan, hidden=hidden)
    text = msgspec.json.format(msgspec.json.encode(saved), indent=2).decode()
    try:
        text_file.replace(path, text + "\n")
    except OSError as error:
        raise Invalid(f"can't write the plan to {path}: {error.strerror}") from error


def read(path: Path) -> SavedPlan:
    """Raises `NotFound`, and `Invalid` for what isn't a plan file, or was edited."""
    try:
        saved = msgspec.json.decode(path.read_bytes(), type=SavedPlan)
    except FileNotFoundError as error:
        raise NotFound(f"no plan file {path}") from error
    except OSError as error:
        raise Invalid(f"can't read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} isn't a plan file: {error}", hint=f"homeport stack plan --out {path}") from error
    if saved.format != FORMAT:
        raise Invalid(f"{path} is of the format {saved.format!r}; expected {FORMAT!r}")
    if saved.digest != _digest(saved.plan):
        raise Invalid(f"{path} was edited since it was written", hint=f"homeport stack plan --out {path}")
    return saved


def check_same(reviewed: Plan, now: Plan) -> None:
    """Nothing, where a plan made now is the one that was reviewed. Raises `Conflict` that says what moved."""
    reviewed = replace(reviewed, stacks=tuple(replace(each, drift=()) for each in reviewed.stacks))
    if reviewed == now:
        return
    before = {each.id: each for each in reviewed.stacks}
    after = {each.id: each for each in now.stacks}
    lines = [f"{each.id}: {each.message}" for each in now.problems if each not in reviewed.problems]
    lines += [f"{id}: it isn't in the project any more" for id in before if id not in after and not lines]
    for id, each in after.items():
        old = before.get(id)
        if old == each:
            continue
        if old is None:
            lines.append(f"{id}: it wasn't in the plan")
        elif old.base != each.base:
            lines.append(f"{id}: what is deployed was changed by somebody")
        elif old.wanted != each.wanted:
            lines.append(f"{id}: the project says something else now")
        else:
            lines.append(f"{id}: {old.action} became {each.action} ({each.reason})")
    hint = "plan again, and review that"
    raise Conflict("the world moved since the plan was made; nothing was applied", details=tuple(lines), hint=hint)


def _digest(plan: Plan) -> str:
    return hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()
