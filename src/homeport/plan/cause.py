"""What an event came from: who asked for it, whose place it takes, which deployment wanted it. Pure, from what was
kept. Called by `plan.why`."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import takewhile

from msgspec import Struct

from homeport.model.asked import Suspendable
from homeport.model.deployment import Deployment, Entry
from homeport.model.event import Event, Sight
from homeport.model.fleet import Observation
from homeport.model.why import Cause
from homeport.plan.journal import fold

Journals = dict[str, tuple[tuple[Entry, ...], ...]]
ASKED = frozenset({"scaled", "standby", "cycle", "suspended", "resumed", "breaker", "zone_failed", "zone_restored"})
"""Kinds of what people asked of a fleet."""
_OF_CAUSE = {
    "lost": ("zone_failed",),
    "standby": ("standby",),
    "cycle": ("cycle",),
    "rebalance": ("zone_restored",),
}
"""Why an instance departs → what somebody may have asked for that."""


class Past(Struct, frozen=True, kw_only=True):
    """All that is known of an environment: `events`, oldest first, and the journals of its apps, `observed` now."""

    environment: str
    observed: Observation
    events: Sequence[Event]
    journals: Journals

    def of(self, app: str, subject: str) -> list[Event]:
        return [each for each in self.events if (each.app, each.subject) == (app, subject)]


def node(event: Event, because: Iterable[Cause] = (), what: str = "") -> Cause:
    decided = event.decided
    return Cause(
        what=what or event.message,
        at=event.at,
        rule="" if decided is None else decided.rule,
        observed_at=None if decided is None else decided.observed_at,
        seen=() if decided is None or decided.seen is None else seen(decided.seen),
        because=tuple(because),
    )


def seen(sight: Sight) -> tuple[str, ...]:
    """In words, a line each; only what says something."""
    since = f" since {sight.check_since_at:%H:%M:%S}" if sight.check_since_at else ""
    first = [f"{sight.state}, {'dead' if sight.died else sight.run}", f"check {sight.check}{since}"]
    first += [f"target {sight.target}"] if sight.target not in ("", "unused") else []
    first += [f"{sight.in_flight} requests open"] if sight.in_flight else []
    lines = [", ".join(first)]
    lines += [f"out of memory: {sight.oom_kills} processes killed"] if sight.oom_kills else []
    lines += ["what it may write to is full, or was since it was healthy last"] if sight.disk_full else []
    lines += sight.exits
    if sight.asked:
        at = f" ({sight.answered_at:%H:%M:%S})" if sight.answered_at else ""
        lines.append(f"{sight.asked}: {sight.answered}{at}")
    return tuple(lines)


def of_event(past: Past, event: Event, *, deep: bool = True) -> tuple[Cause, ...]:
    """What it came from, the nearest first. `deep`: also why that which it replaces had to go."""
    decided = event.decided
    if decided is None:
        return ()
    found: list[Cause] = []
    if decided.replaces and deep:
        found += fall(past, event.app, decided.replaces)
    if event.kind in ("launch", "start"):
        wanted = deployment_at(past, event.app, decided.release, event.at)
        if wanted is not None:
            found.append(deployment_node(wanted))
        elif not decided.replaces:
            found += _sized(past, event)
    elif decided.cause in _OF_CAUSE:
        found += _asked(past, event, _OF_CAUSE[decided.cause])
    elif event.kind in ("drain", "stop") and not decided.cause:
        # it was wanted once: something has changed since
        since_at = past.of(event.app, event.subject)[0].at
        found += _sized(past, event, since_at)
    return tuple(found)


def fall(past: Past, app: str, instance: str) -> tuple[Cause, ...]:
    """Why an instance had to go; empty: that isn't known any more, or it hadn't to."""
    events = past.of(app, instance)
    well_at = max((each.at for each in events if each.kind == "well_again"), default=None)
    for each in events:
        decided = each.decided
        if decided is None or (well_at is not None and each.at <= well_at):
            continue
        if decided.cause or (decided.seen is not None and decided.seen.died):
            because = of_event(past, each, deep=False)
            return (node(each, because, f"{instance} had to go: {each.message}"),)
    return ()


def _asked(past: Past, event: Event, kinds: Sequence[str], since_at: datetime | None = None) -> tuple[Cause, ...]:
    """The last that somebody asked for before, of this group or of its zone; or, where that is nearer, the deployment
    that brought another release. What is asked and what is decided take turns, so what is recorded last before a
    decision is what it rests on."""
    decided = event.decided
    assert decided is not None
    for each in _before(past, event):
        if since_at is not None and each.at < since_at:
            break
        if each.kind == "deployment_started" and each.app == event.app and not decided.cause:
            numbers = [fold(entries) for entries in past.journals.get(event.app, ())]
            near = [one for one in numbers if one.started.at <= event.at]
            return (deployment_node(near[-1]),) if near else (node(each),)
        if each.kind in kinds and _concerns(each, event):
            return (node(each),)
    return ()


def _sized(past: Past, event: Event, since_at: datetime | None = None) -> tuple[Cause, ...]:
    """Who wanted another number of instances; before them, where that had kept it from being done, who let it go on."""
    held = Suspendable.LAUNCH if event.kind in ("launch", "start") else Suspendable.TERMINATE
    let_go: tuple[Cause, ...] = ()
    for each in _before(past, event):
        if each.kind == "deployment_started" and each.app == event.app:
            break
        suspended = each.kind == "suspended" and held.value in each.asked
        if (suspended or each.kind == "scaled") and _concerns(each, event):
            break
        resumed = each.kind == "resumed" and held.value in each.asked
        reset = each.kind == "breaker" and held is Suspendable.LAUNCH
        if (resumed or reset) and _concerns(each, event) and _was_held(past, event, each):
            let_go = (node(each),)
            break
    kinds = ("scaled",) if held is Suspendable.LAUNCH else ("scaled", "standby")
    return (*let_go, *_asked(past, event, kinds, since_at))


def _was_held(past: Past, event: Event, until: Event) -> bool:
    """Something kept the group from it, between the last change of its size and `until`."""
    assert event.decided is not None
    for each in _before(past, until):
        if each.kind in ("scaled", "deployment_started") and each.app == event.app:
            return False
        if each.app == event.app and each.subject == event.decided.group and each.decided is not None:
            return True
    return False


def _before(past: Past, event: Event) -> Iterator[Event]:
    """The nearest first."""
    return reversed([*takewhile(lambda each: each is not event, past.events)])


def _concerns(asked: Event, event: Event) -> bool:
    """Of the group of the one that was decided about, or of its zone."""
    decided = event.decided
    assert decided is not None
    if asked.kind.startswith("zone_"):
        return decided.seen is None or asked.subject == f"zone {decided.seen.zone}"
    return asked.app == event.app and asked.subject == decided.group


def deployment_at(past: Past, app: str, release: int | None, at: datetime) -> Deployment | None:
    """The one that went on then, and had to do with that release."""
    for entries in reversed(past.journals.get(app, ())):
        found = fold(entries)
        ended_at = found.ended.at if found.ended else None
        if found.started.at <= at and (ended_at is None or at <= ended_at):
            return found if release in (found.started.release, found.started.previous, None) else None
    return None


def deployment_node(deployment: Deployment) -> Cause:
    started, ended = deployment.started, deployment.ended
    verdict = f", {ended.verdict.value}" if ended else ", going on"
    what = f"deployment {started.number} of r{started.release} by {started.by}: {started.why}{verdict}"
    return Cause(what=what, at=started.at)
