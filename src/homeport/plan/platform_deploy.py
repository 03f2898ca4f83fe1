"""[deploy], and over it [groups.<name>.deploy]: how a release comes to its groups. Called by plan.formation."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from homeport.model.platform import Deploy, Group, Weight
from homeport.plan import platform_alarm
from homeport.plan.batch import amount
from homeport.plan.platform_check import Data
from homeport.plan.toml_line import Path

Note = Callable[[Path, str], None]
MANY = 100


def deploy(said: Data, path: Path, note: Note) -> Deploy:
    """What one table comes to. `path`: where it stands."""
    plain = {key: value for key, value in said.items() if key not in ("steps", "alarms")}
    rows = said.get("steps", ())
    steps = tuple(Weight(percent=each["weight"], pause=each["pause"]) for each in rows if len(each) == 2)
    # of the whole release only, so that a group's own table doesn't say the same mistakes again
    alarms = platform_alarm.alarms(said.get("alarms", ()), path, note) if len(path) == 1 else ()
    found = Deploy(**plain, steps=steps, alarms=alarms)
    moved = amount(found.max_unavailable, MANY, up=True) + amount(found.max_surge, MANY, up=True)
    if found.strategy == "rolling" and moved == 0:
        note((*path, "max_unavailable"), "no instance may be away, and none may come beside (max_surge): none can move")
    if found.strategy == "canary" and not rows:
        note((*path, "strategy"), 'canary needs steps, such as steps = [{ weight = "5%", pause = "2m" }]')
    return found


def check(whole: Deploy, groups: Iterable[Group] | None, note: Note) -> None:
    """What can be wrong beside groups: `canary` shares requests, so some group must get them. `groups` None: not known
    yet."""
    for one, other in pairwise(whole.steps):
        if one.percent >= other.percent:
            note(("deploy", "steps"), f"expected weights that rise, found {one.percent}% before {other.percent}%")
    if groups is None:
        return
    groups = tuple(groups)
    platform_alarm.check(whole.alarms, groups, note)
    known = [(group, (group.deploy or whole).strategy == "canary") for group in groups]
    if whole.strategy == "canary":
        if not any(group.balanced for group, canary in known if canary):
            note(("deploy", "strategy"), "canary shares requests, and no group gets any")
        return
    for group in (group for group, canary in known if canary and not group.balanced):
        note(("groups", group.name, "deploy", "strategy"), f"canary shares requests, and {group.name} gets none")
