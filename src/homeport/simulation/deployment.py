"""What must hold of deployments whatever goes wrong: one function each, which says what is wrong, or nothing. Used by
`simulation.judge`: of an entry as it is written, of an action before it is carried out, of what is there after a tick.

As in `simulation.invariant`, a decision is judged by what its decider was shown; what ran, by what ran."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec import Struct

from homeport.model.action import (
    Action,
    Drain,
    EndTask,
    Kill,
    Prepare,
    PutInService,
    RunTask,
    SetLaunch,
    SetRoutes,
    SetShare,
    Start,
    Stop,
    Terminate,
)
from homeport.model.deployment import Baking, Deployment, Ended, Entry, GroupChange, Moved, Started, Switched, Verdict
from homeport.model.fleet import Check, Instance, Observation, Run, State, Target, Task
from homeport.model.platform import Deploy, Resolved

BY_LEASE = Prepare | RunTask | EndTask | SetLaunch | SetRoutes | SetShare
"""Actions of a deployment, not of the fleet that it moves."""
UNKNOWN = "can't be known"
TASK = re.compile(r".*-release-d\d+\b")


class Written(Struct, kw_only=True):
    """An entry that is written. `before`: what the journal stood for until then; None: it is the first.
    `fence`: under which; `lease`: the newest that there is. `task`: the release task as it is, whoever sees it.
    `lasting`: groups in which somebody has suspended Terminate. `sizes`: group → how many are asked for."""

    entry: Entry
    before: Deployment | None
    shown: Observation
    balanced: Mapping[str, bool]
    fence: int
    lease: int
    task: Task | None = None
    lasting: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = MappingProxyType({})

    def serving(self, group: str, *, known: bool) -> Counter[int]:
        """Release → how many of the group's instances serve it, as the decider was shown. `known`: without those of
        which nobody knows, and which so nobody may take out."""
        return Counter(
            each.release
            for each in self.shown.instances
            if each.group == group
            and each.zone not in self.shown.failed_zones
            and _serves(each, balanced=self.balanced.get(group, False))
            and not (known and each.run is Run.UNKNOWN)
        )


def _serves(each: Instance, *, balanced: bool) -> bool:
    in_service = each.state is State.IN_SERVICE and each.run is not Run.STOPPED and each.next_release is None
    return in_service and (each.target is Target.READY or not balanced)


# --- of entries -------------------------------------------------------------------------------------------------------


def only_the_lease_holder_writes(w: Written) -> str:
    return "" if w.fence == w.lease else f"under fence {w.fence}, the lease's is {w.lease}"


def good_is_what_serves_everywhere(w: Written) -> str:
    if not isinstance(w.entry, Ended) or w.entry.verdict is not Verdict.GOOD or w.before is None:
        return ""
    return _differs(w, w.before.started.release, {each.name: each.new_count for each in w.before.started.groups})


def back_is_what_served_before(w: Written) -> str:
    """But for a verdict that says that even this doesn't."""
    if not isinstance(w.entry, Ended) or w.before is None:
        return ""
    if w.entry.verdict in (Verdict.GOOD, Verdict.INFRASTRUCTURE) or w.before.started.previous is None:
        return ""
    if w.before.launch_at is None:  # it never came to instances
        there = [each.id for each in w.shown.instances if each.release == w.before.started.release]
        live = [each for each in there if each not in {i.id for i in w.shown.instances if i.state is State.TERMINATED}]
        aside = any(each.aside is not None for each in w.before.started.groups)
        return f"{', '.join(live)} of a release that was never launched" if live and not aside else ""
    return _differs(w, w.before.started.previous, {each.name: each.old_count for each in w.before.started.groups})


def _differs(w: Written, release: int, counts: Mapping[str, int]) -> str:
    for group, count in counts.items():
        found = w.serving(group, known=False)
        others = () if group in w.lasting else set(w.serving(group, known=True)) - {release}
        if found[release] < count or others:
            return f"{group}: {dict(found)} serve, wanted are {count} of r{release}"
    return ""


def the_release_task_ran_or_nobody_can_know(w: Written) -> str:
    if w.before is None or w.before.started.task is None or not isinstance(w.entry, Ended):
        return ""
    done = w.task is not None and w.task.exit_code == 0
    if w.entry.verdict is Verdict.GOOD:
        return "" if done else f"good, and its release task is {w.task}"
    if w.task is None or (w.task.exit_code is not None and w.task.stop_at is None):
        return ""
    said = w.entry.verdict is Verdict.INCONCLUSIVE or UNKNOWN in w.entry.evidence.summary or done
    return "" if said else f"{w.entry.evidence.summary}: but its release task is {w.task}"


def it_moves_to_the_sizes_that_are_asked_for(w: Written) -> str:
    """Also where somebody scales while it goes on."""
    forward = isinstance(w.entry, Moved | Switched | Baking)
    if w.before is None or not (forward or (isinstance(w.entry, Ended) and w.entry.verdict is Verdict.GOOD)):
        return ""
    counts = {each.name: each.new_count for each in w.before.started.groups}
    return "" if counts == w.sizes else f"to {counts}, asked for is {dict(w.sizes)}"


ENTRIES: tuple[Callable[[Written], str], ...] = (
    only_the_lease_holder_writes,
    good_is_what_serves_everywhere,
    back_is_what_served_before,
    the_release_task_ran_or_nobody_can_know,
    it_moves_to_the_sizes_that_are_asked_for,
)


# --- of actions -------------------------------------------------------------------------------------------------------


class Acting(Struct, kw_only=True):
    """An action that is about to be carried out. `deployment`: the newest; `standby`: whom people took out; `done`:
    actions of the same tick before it."""

    action: Action
    shown: Observation
    deployment: Deployment | None
    formation: Resolved
    fence: int
    lease: int
    standby: frozenset[str] = frozenset()
    begun: frozenset[str] = frozenset()
    """Tasks that there were so far, whatever became of them."""
    done: tuple[Action, ...] = ()

    def find(self) -> Instance | None:
        wanted = getattr(self.action, "instance", None)
        return next((each for each in self.shown.instances if each.id == wanted), None)


def only_the_lease_holder_acts(a: Acting) -> str:
    if not isinstance(a.action, BY_LEASE) or a.fence == a.lease:
        return ""
    return f"under fence {a.fence}, the lease's is {a.lease}"


def a_release_task_is_begun_once(a: Acting) -> str:
    if not isinstance(a.action, RunTask) or (match := TASK.match(a.action.task)) is None:
        return ""
    others = sorted(each for each in a.begun - {a.action.task} if f"{each}-".startswith(f"{match[0]}-"))
    return f"as {', '.join(others)} before" if others else ""


def nothing_is_routed_before_it_is_ready(a: Acting) -> str:
    if not isinstance(a.action, PutInService) or (found := a.find()) is None:
        return ""
    ready = found.run is Run.RUNNING and found.check is Check.HEALTHY
    return "" if ready or found.target is Target.DRAINING else f"{found.id} is {found.run.value}, {found.check.value}"


def nothing_ends_while_it_is_routed(a: Acting) -> str:
    if not isinstance(a.action, Stop | Kill | Terminate | Start) or (found := a.find()) is None:
        return ""
    routed = found.target is Target.READY and found.run is Run.RUNNING and found.check is Check.HEALTHY
    lost = found.zone in a.shown.failed_zones
    return f"{found.id} gets requests" if routed and not lost else ""


def never_below_the_strategys_floor(a: Acting) -> str:
    """So many serve at least, of whichever release, while a deployment goes on: told from the file and nothing else."""
    if not isinstance(a.action, Drain | Stop | Kill | Terminate) or (found := a.find()) is None:
        return ""
    if a.deployment is None or a.deployment.ended is not None or a.deployment.started.previous is None:
        return ""
    if found.id in a.standby:
        return ""
    change = next((each for each in a.deployment.started.groups if each.name == found.group), None)
    group = a.formation.group(found.group)
    if change is None or group is None or not _well(found, a.shown, balanced=group.balanced):
        return ""
    taken = {each.instance for each in a.done if isinstance(each, Drain | Stop | Kill | Terminate)} | {found.id}
    left = sum(
        1
        for each in a.shown.instances
        if each.group == found.group and each.id not in taken and _well(each, a.shown, balanced=group.balanced)
    )
    least = floor(a.deployment.started, change, a.formation.deploy)
    return f"{found.id} is taken out, which leaves {left} of {least}" if left < least else ""


def _well(each: Instance, shown: Observation, *, balanced: bool) -> bool:
    lost = each.zone in shown.failed_zones
    return _serves(each, balanced=balanced) and each.check is Check.HEALTHY and each.run is Run.RUNNING and not lost


def floor(started: Started, change: GroupChange, deploy: Deploy) -> int:
    """As docs/reference/deployments.md has it: all of them, but for `rolling` where nobody comes beside."""
    count = min(change.old_count, change.new_count)
    if started.strategy != "rolling" or change.old_count < 2:
        return count
    said = deploy.max_unavailable
    away = said if isinstance(said, int) else int(said.removesuffix("%")) * change.old_count // 100
    return max(0, count - max(away, 0 if deploy.max_surge else 1))


ACTIONS: tuple[Callable[[Acting], str], ...] = (
    only_the_lease_holder_acts,
    a_release_task_is_begun_once,
    nothing_is_routed_before_it_is_ready,
    nothing_ends_while_it_is_routed,
    never_below_the_strategys_floor,
)


# --- of what is there -------------------------------------------------------------------------------------------------


def the_journal_replays_to_the_same(known: Deployment | None, replayed: Deployment | None) -> str:
    return "" if known == replayed else f"{replayed} is in the store, {known} is acted on"


def current_is_the_last_good(current: int | None, good: int | None) -> str:
    """Once nothing goes on."""
    return "" if current == good else f"current is r{current}, the last that was good r{good}"


STATES = (the_journal_replays_to_the_same, current_is_the_last_good)
