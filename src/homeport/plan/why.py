"""`homeport why`: the chain of causes of an instance, a group, a deployment or a session, from what was kept of the
past. Pure. Called by `control.why`.

What happened to the thing itself stands in order of time; below each, what that came from.
"""

import difflib
from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from homeport.errors import Invalid, NotFound
from homeport.model.deployment import (
    Baking,
    Continued,
    Deployment,
    Ended,
    Entry,
    Paused,
    Resized,
    Reverting,
    Started,
    TaskEnded,
)
from homeport.model.event import Decided, Event
from homeport.model.fleet import Instance, State
from homeport.model.why import Cause, Console, Why, WhyKind
from homeport.plan.cause import ASKED, Past, fall, node, of_event, seen
from homeport.plan.journal import fold
from homeport.plan.note import answer, sight

MOST = 30
"""So many events of one thing are told, the oldest and the newest."""
NEAR = 3
_BEGUN = ("run", "exec")
"""Kinds of the events that begin a session."""
Write = Callable[[str], Console]
"""What an instance or a task wrote."""


class Subject(Struct, frozen=True, kw_only=True):
    """`name`: of the instance, group or session; `number`: of the deployment."""

    kind: WhyKind
    app: str
    name: str = ""
    number: int = 0


class Wanted(Struct, frozen=True, kw_only=True):
    """How a group stands: `size` in words; what the loop finds about it beyond its instances; instance → why it is as
    it is."""

    size: str
    notes: tuple[str, ...] = ()
    reasons: dict[str, str] = {}


def subject(past: Past, word: str, app: str | None) -> Subject:
    """What is meant by `web-3`, `web`, `shop/web` or `7`. Raises `NotFound` with the nearest ids, `Invalid` where it
    fits several."""
    known = _known(past)
    prefix, _, name = word.rpartition("/")
    prefix = prefix or app or ""
    fits = [each for each in known if (each.name or str(each.number)) == name and prefix in ("", each.app)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        apps = ", ".join(sorted({each.app for each in fits}))
        raise Invalid(f"{word!r} is known in several apps: {apps}", hint=f"homeport why {fits[0].app}/{name}")
    names = sorted({each.name or str(each.number) for each in known})
    near = difflib.get_close_matches(name, names, n=NEAR, cutoff=0.5) or [each for each in names if not _ordinal(each)]
    there = f"; near it: {', '.join(near)}" if near else ""
    raise NotFound(
        f"nothing in {past.environment} is known as {word!r}, expected an instance, a group, a deployment's "
        f"number or a session{there}",
        hint="homeport ps --all, homeport events",
    )


def _ordinal(name: str) -> bool:
    return name.rpartition("-")[2].isdigit()


def _known(past: Past) -> list[Subject]:
    """All that can be asked about, each once."""
    found: dict[tuple[str, str, str], Subject] = {}

    def add(each: Subject) -> None:
        found[each.kind, each.app, each.name or str(each.number)] = each

    for one in past.observed.instances:
        add(Subject(kind="instance", app=one.app, name=one.id))
        add(Subject(kind="group", app=one.app, name=one.group))
    for event in past.events:
        if event.decided is not None and event.decided.group:
            add(Subject(kind="group", app=event.app, name=event.decided.group))
            if event.subject != event.decided.group:
                add(Subject(kind="instance", app=event.app, name=event.subject))
        elif event.kind in _BEGUN:
            add(Subject(kind="session", app=event.app, name=event.subject))
    for app, journals in past.journals.items():
        for entries in journals:
            add(Subject(kind="deployment", app=app, number=fold(entries).started.number))
    return list(found.values())


# --- an instance ------------------------------------------------------------------------------------------------------


def of_instance(past: Past, app: str, id_: str, reason: str, console: Console) -> Why:
    """`reason`: why it is as it is now, where it lives."""
    known = next((each for each in past.observed.instances if (each.app, each.id) == (app, id_)), None)
    events = past.of(app, id_)
    causes = [node(each, of_event(past, each), _titled(each)) for each in _most(events)]
    causes = sorted([*causes, *_successor(past, app, id_)], key=_when)
    if known is not None and known.state is not State.TERMINATED:
        now = sight(known, None)
        causes.append(Cause(what=f"now: {known.reason or reason or 'nothing is known'}", seen=seen(now)))
    if answers := _answers(events, known):
        causes.append(Cause(what="what its health check was answered, the last", lines=answers))
    if console.lines:
        causes.append(Cause(what="what it wrote, first and last", lines=console.lines))
    unknown = []
    if not any(each.kind == "launch" for each in events):
        oldest = f"{past.events[0].at:%Y-%m-%d %H:%M:%S} UTC" if past.events else "now"
        unknown.append(f"who wanted it: its launch is older than the events that are kept, since {oldest}")
    if not console.lines:
        unknown.append("what it wrote: nothing, or its logs aren't kept any more")
    return Why(
        kind="instance",
        subject=id_,
        app=app,
        environment=past.environment,
        summary=_instance_in_short(id_, known, events),
        causes=tuple(causes),
        unknown=tuple(unknown),
    )


def _instance_in_short(id_: str, known: Instance | None, events: Sequence[Event]) -> str:
    if known is None:
        return f"{id_} has ended{': ' if events else ''}{_end(events)}"
    short = f"{id_}: {known.state.value}, r{known.release}, zone {known.zone}"
    if known.state is State.TERMINATED:
        return f"{short}: {known.reason or _end(events) or 'it has ended'}"
    return f"{short}, check {known.check.value}"


def _when(cause: Cause) -> datetime:
    assert cause.at is not None
    return cause.at


def _end(events: Sequence[Event]) -> str:
    """Why it had to go, else how it ended; empty: nobody knows any more."""
    going = [each for each in events if each.decided is not None and each.decided.cause]
    return (going or events)[-1].message if events else ""


def _titled(event: Event) -> str:
    return f"{event.kind.replace('_', ' ')}: {event.message}"


def _successor(past: Past, app: str, id_: str) -> list[Cause]:
    heirs = [each for each in past.events if each.app == app and each.decided and each.decided.replaces == id_]
    return [node(each, what=f"{each.subject} was launched in its place") for each in heirs]


def _answers(events: Sequence[Event], known: Instance | None) -> tuple[str, ...]:
    """The last different ones, with their times."""
    found: dict[str, str] = {}
    for event in events:
        was = event.decided.seen if event.decided is not None else None
        if was is not None and was.asked and was.answered_at is not None:
            found[f"{was.answered_at:%Y-%m-%d %H:%M:%S}"] = f"{was.asked}: {was.answered}"
    if known is not None and known.probe is not None:
        found[f"{known.probe.at:%Y-%m-%d %H:%M:%S}"] = f"{known.probe.asked}: {answer(known.probe)}"
    return tuple(f"{at} {text}" for at, text in sorted(found.items()))[-NEAR:]


# --- a group ----------------------------------------------------------------------------------------------------------


def of_group(past: Past, app: str, name: str, wanted: Wanted) -> Why:
    members = [each for each in past.observed.instances if (each.app, each.group) == (app, name)]
    live = [each for each in members if each.state is not State.TERMINATED]
    asked = [each for each in past.of(app, name) if each.kind in ASKED]
    began = [fold(entries) for entries in past.journals.get(app, ())]
    good = [each for each in began if each.ended is not None and each.ended.verdict.value == "good"]
    because = [node(each) for each in asked[-1:]] + [_brought(each) for each in good[-1:]]
    causes = [Cause(what=wanted.size, because=tuple(because))]
    for note in wanted.notes:
        since = [
            each for each in past.of(app, name) if each.message == note or (each.decided and not each.decided.seen)
        ]
        causes.append(Cause(what=note, because=tuple(node(each) for each in since[-1:])))
    for each in live:
        reason = each.reason or wanted.reasons.get(each.id, "")
        seen = f"{each.id}: {each.state.value}, r{each.release}"
        causes.append(Cause(what=f"{seen}: {reason}" if reason else seen))
    changes = [
        each
        for each in past.events
        if each.app == app and (each.subject == name or (each.decided is not None and each.decided.group == name))
    ]
    done = [node(each, of_event(past, each), f"{each.subject} {_titled(each)}") for each in changes[-MOST // 2 :]]
    in_service = sum(1 for each in live if each.state is State.IN_SERVICE)
    return Why(
        kind="group",
        subject=name,
        app=app,
        environment=past.environment,
        summary=f"{app}/{name}: {in_service} in service; {wanted.size}",
        causes=(*causes, *done),
    )


def _brought(deployment: Deployment) -> Cause:
    started = deployment.started
    return Cause(
        what=f"deployment {started.number} brought r{started.release}, by {started.by}: {started.why}", at=started.at
    )


# --- a session --------------------------------------------------------------------------------------------------------


def of_session(past: Past, app: str, id_: str, console: Console) -> Why:
    """What somebody ran by `run` or `exec`. Where it ran inside an instance, also what became of that meanwhile."""
    events = past.of(app, id_)
    began, ended = events[0], next((each for each in events if each.kind not in _BEGUN), None)
    name = began.subject.partition(".")[0]
    causes = [node(began, (), f"{name} by {began.message}")]
    if ended is not None:
        host = next((each for each in began.asked), "")
        around = [each for each in past.of(app, host) if began.at <= each.at <= ended.at]
        causes += [node(each, of_event(past, each), f"{host} {_titled(each)}") for each in _most(around)]
        causes.append(node(ended, (), f"it ended: {ended.message}"))
    if console.lines:
        causes.append(Cause(what="what it wrote, first and last", lines=console.lines))
    unknown = (
        () if console.lines else ("what it wrote: to the terminal of whoever began it, or it isn't kept any more",)
    )
    said = "goes on, as far as is known" if ended is None else ended.message
    return Why(
        kind="session",
        subject=id_,
        app=app,
        environment=past.environment,
        summary=f"{id_}: {said}",
        causes=tuple(causes),
        unknown=unknown,
    )


# --- a deployment -----------------------------------------------------------------------------------------------------


def of_deployment(past: Past, app: str, number: int, waits_for: str, write: Write) -> Why:
    """`waits_for`: of one that goes on. `write` is asked about the release task and the instance that is blamed."""
    entries = next(each for each in past.journals[app] if fold(each).started.number == number)
    found = fold(entries)
    started, ended = found.started, found.ended
    causes = []
    for entry in entries:
        lines: tuple[str, ...] = ()
        because: tuple[Cause, ...] = ()
        if isinstance(entry, Reverting) or (isinstance(entry, Ended) and found.reverting is None):
            lines = entry.evidence.lines
            because = _blamed(past, app, entry.evidence.instance, write, quoted=bool(lines))
        elif isinstance(entry, TaskEnded):
            lines = write(found.task_id).lines
        decided = _decided(past, app, entry)
        causes.append(
            Cause(
                what=_said(entry),
                at=entry.at,
                rule="" if decided is None else decided.rule,
                observed_at=None if decided is None else decided.observed_at,
                lines=lines,
                because=because,
            )
        )
    launched = [
        each.subject
        for each in past.events
        if each.app == app
        and each.kind == "launch"
        and each.decided is not None
        and each.decided.release == started.release
        and started.at <= each.at
        and (ended is None or each.at <= ended.at)
    ]
    if launched:
        causes.append(Cause(what=f"launched for it: {', '.join(launched)}"))
    if waits_for and ended is None:
        causes.append(Cause(what=f"now: waits for {waits_for}"))
    verdict = f"{ended.verdict.value}{f': {ended.evidence.summary}' if ended.evidence.summary else ''}" if ended else ""
    return Why(
        kind="deployment",
        subject=str(number),
        app=app,
        environment=past.environment,
        summary=f"deployment {number} of {app}: {verdict or 'goes on'}",
        causes=tuple(causes),
    )


def _decided(past: Past, app: str, entry: Entry) -> Decided | None:
    """How the deployment came to that entry: said by the event that was made right after it."""
    if isinstance(entry, Started):
        return None
    after = (each for each in past.of(app, app) if each.kind.startswith("deployment_") and each.at >= entry.at)
    return next((each.decided for each in after), None)


def _blamed(past: Past, app: str, instance: str, write: Write, *, quoted: bool) -> tuple[Cause, ...]:
    if not instance:
        return ()
    found = list(fall(past, app, instance))
    last = past.of(app, instance)
    if not found and last:
        found.append(node(last[-1], what=f"{instance}: {last[-1].message}"))
    if not quoted and (lines := write(instance).lines):
        found.append(Cause(what=f"what {instance} wrote, first and last", lines=lines))
    return tuple(found)


def _said(entry: Entry) -> str:
    match entry:
        case Started():
            over = "" if entry.previous is None else f" over r{entry.previous}"
            frozen = f"; over the freeze: {entry.over_freeze}" if entry.over_freeze else ""
            return f"{entry.by} deploys r{entry.release}{over} ({entry.strategy}): {entry.why}{frozen}"
        case TaskEnded():
            return f"the release task ended with {entry.exit_code}"
        case Baking():
            return f"everything runs and is healthy; watched until {entry.until_at:%H:%M:%S}"
        case Paused():
            return f"pauses: {entry.reached}"
        case Continued():
            return f"{entry.by} lets it go on"
        case Resized():
            return f"scaled meanwhile: {', '.join(f'{count} of {name}' for name, count in entry.counts.items())}"
        case Reverting():
            by = f" {entry.by}: {entry.why};" if entry.by else ""
            return f"goes back ({entry.verdict.value}):{by} {entry.evidence.summary}"
        case Ended():
            return f"{entry.verdict.value}{f': {entry.evidence.summary}' if entry.evidence.summary else ''}"
        case _:
            name = type(entry).__name__
            return "".join(f" {each.lower()}" if each.isupper() else each for each in name).strip()


def _most(events: Sequence[Event]) -> list[Event]:
    """The oldest and the newest of them."""
    if len(events) <= MOST:
        return list(events)
    return [*events[: MOST // 3], *events[-(MOST - MOST // 3) :]]
