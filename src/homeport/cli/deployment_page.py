"""Everything about one deployment in a page: what changed, when what happened, what its instances and its release task
wrote, how it ended. Called by `deployment show`.

Put together from the journal (in the store), releases (there too), events (the engine's) and logs (on its disk). Each
of these is kept for a time of its own: what is gone is named, and the rest is shown.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from homeport.cli import difference, hint, output, place, standing
from homeport.console.derive import deployment_view
from homeport.console.views import DeploymentView
from homeport.errors import HomeportError, NotFound
from homeport.model.deployment import Deployment, Entry, Evidence
from homeport.model.event import Event
from homeport.model.release import Release
from homeport.plan.difference import Difference
from homeport.plan.difference import difference as difference_of
from homeport.plan.journal import fold
from homeport.plan.words import in_words
from homeport.releases.catalogue import Catalogue
from homeport.releases.git import Apart
from homeport.releases.side import side_of

ALL_EVENTS = 10_000
INSTANCE_KINDS = {
    "launch", "start", "inherit", "put_in_service", "enter_standby", "drain", "stop", "kill", "terminate", "ask_hook",
}  # fmt: skip


class Moment(Struct, frozen=True, kw_only=True):
    """An entry of the journal. `seconds`: since the deployment's beginning; `took_seconds`: until the next one, None
    for the last."""

    at: datetime
    seconds: float
    took_seconds: float | None
    text: str


class Happened(Struct, frozen=True, kw_only=True):
    """What was done to an instance, and why."""

    at: datetime
    kind: str
    message: str


class Wrote(Struct, frozen=True, kw_only=True):
    """A line of a process."""

    at: datetime
    process: str
    text: str


class Member(Struct, frozen=True, kw_only=True):
    """An instance to which something was done meanwhile, and the last that it wrote."""

    id: str
    happened: tuple[Happened, ...]
    lines: tuple[Wrote, ...]


class TaskPage(Struct, frozen=True, kw_only=True):
    """The release task. `exit_code`, `took_seconds` None: it goes on, or nobody knows."""

    command: str
    exit_code: int | None
    took_seconds: float | None
    lines: tuple[Wrote, ...]


class Page(Struct, frozen=True, kw_only=True):
    """`changes` None: there was no release before it, or it isn't known any more. `unknown`: what couldn't be found
    out, in sentences."""

    environment: str
    app: str
    number: int
    deployment: DeploymentView
    took_seconds: float | None
    over_freeze: str
    waits_for: str
    commits: Apart | None
    changes: Difference | None
    timeline: tuple[Moment, ...]
    instances: tuple[Member, ...]
    task: TaskPage | None
    evidence: Evidence | None
    entries: tuple[Entry, ...]
    unknown: tuple[str, ...]


def page_of(directory: Path, where: str, entries: tuple[Entry, ...], waits_for: str, *, lines: int) -> Page:
    """`lines`: of each instance and of the release task, so many at most."""
    from homeport.wiring import storage

    home = storage.home()
    found = fold(entries)
    started = found.started
    unknown: list[str] = []
    catalogue = storage.catalogue(storage.store(home))
    commits, changes = _changes(directory, catalogue, found, unknown)
    until_at = found.ended.at if found.ended is not None else None
    members = _members(where, found, until_at, lines, unknown)
    last = found.ended or found.reverting
    return Page(
        environment=where,
        app=started.app,
        number=started.number,
        deployment=deployment_view(entries, waits_for),
        took_seconds=None if until_at is None else (until_at - started.at).total_seconds(),
        over_freeze=started.over_freeze,
        waits_for=waits_for,
        commits=commits,
        changes=changes,
        timeline=_timeline(entries),
        instances=members,
        task=_task(where, found, entries, lines),
        evidence=None if last is None else last.evidence,
        entries=entries,
        unknown=tuple(unknown),
    )


def _timeline(entries: Sequence[Entry]) -> tuple[Moment, ...]:
    begun_at, first = entries[0].at, fold(entries[:1]).started.previous is None
    following = [*(each.at for each in entries[1:]), None]
    return tuple(
        Moment(
            at=each.at,
            seconds=(each.at - begun_at).total_seconds(),
            took_seconds=None if then is None else (then - each.at).total_seconds(),
            text=in_words(each, first=first),
        )
        for each, then in zip(entries, following, strict=True)
    )


def _changes(
    directory: Path, catalogue: Catalogue, found: Deployment, unknown: list[str]
) -> tuple[Apart | None, Difference | None]:
    started = found.started
    releases: list[Release] = []
    for number in (started.previous, started.release):
        if number is None:
            return None, None
        try:
            releases.append(catalogue.get(started.app, started.environment, number))
        except NotFound:
            unknown.append(f"r{number} isn't in the store any more: what changed from it, or to it, isn't known")
            return None, None
    from homeport.wiring import storage

    encryption = storage.encryption(storage.home())
    old, new = releases
    try:
        changes = difference_of(*(side_of(each, catalogue.store, encryption) for each in releases))
    except HomeportError as error:
        unknown.append(f"what changed isn't known: {error.message}")
        return None, None
    return standing.commits(directory, started.app, old.slug.commit, new.slug.commit), changes


def _members(
    where: str, found: Deployment, until_at: datetime | None, lines: int, unknown: list[str]
) -> tuple[Member, ...]:
    started = found.started
    try:
        events = place.client().events(where, limit=ALL_EVENTS)
    except HomeportError:
        unknown.append("what was done to instances only the engine knows, and it doesn't answer: homeport engine start")
        return ()
    within = [each for each in events if each.at >= started.at and (until_at is None or each.at <= until_at)]
    ours = [each for each in within if each.app == started.app]
    if not any(each.kind == "deployment_started" for each in ours):
        unknown.append("events of its time are gone: what was done to which instance isn't known in full")
    mine: dict[str, list[Event]] = {}
    for each in ours:
        if each.kind in INSTANCE_KINDS:
            mine.setdefault(each.subject, []).append(each)
    return tuple(
        Member(
            id=id_,
            happened=tuple(Happened(at=each.at, kind=each.kind, message=each.message) for each in happened),
            lines=_wrote(where, id_, started.at, until_at, lines),
        )
        for id_, happened in mine.items()
    )


def _wrote(where: str, instance: str, since_at: datetime, until_at: datetime | None, last: int) -> tuple[Wrote, ...]:
    """The last lines of a time; empty where there are none, or they are gone."""
    from homeport.ports.engine import LogQuery
    from homeport.wiring import engine

    found: deque[Wrote] = deque(maxlen=last)
    query = LogQuery(instance=instance, since_at=since_at)
    for each in engine.logs(place.home(), where, query, follow=False):
        if until_at is None or each.at <= until_at:
            found.append(Wrote(at=each.at, process=each.process, text=each.text))
    return tuple(found)


def _task(where: str, found: Deployment, entries: Iterable[Entry], last: int) -> TaskPage | None:
    begun_at = found.task_started_at
    if found.started.task is None or begun_at is None:
        return None
    over_at = next((each.at for each in entries if each.at > begun_at), None)
    return TaskPage(
        command=found.started.task,
        exit_code=found.task_exit_code,
        took_seconds=None if over_at is None else (over_at - begun_at).total_seconds(),
        lines=_wrote(where, found.task_id, found.started.at, None, last),
    )


# --- printed ----------------------------------------------------------------------------------------------------------


def show(found: Page) -> None:
    view = found.deployment
    over = f" over {view.previous}" if view.previous else ", the first"
    state = view.verdict or f"goes on, {view.phase}"
    took = "" if found.took_seconds is None else f", after {_seconds(found.took_seconds)}"
    output.line(f"deployment {found.number} of {found.app} in {found.environment}: {state}{took}")
    output.line(f"  {view.release}{over}, {view.strategy}; by {view.by}, {output.when(view.started_at)}: {view.why}")
    if found.over_freeze:
        output.line(f"  over a freeze: {found.over_freeze}")
    if found.changes is not None:
        print("\nchanges")
        difference.show(found.changes, found.commits)
    print("\ntimeline")
    for each in found.timeline:
        output.line(f"  {output.when(each.at)} {'+' + _seconds(each.seconds):>9}  {each.text}", hanging=4)
    if found.waits_for:
        output.line(f"  now: waits for {hint.completed(found.waits_for)}", hanging=4)
    if found.task is not None:
        _show_task(found.task)
    if found.instances:
        print("\ninstances")
    for member in found.instances:
        print(f"  {member.id}")
        for happened in member.happened:
            output.line(f"    {output.when(happened.at)}  {happened.kind}: {happened.message}", hanging=4)
        _show_lines(member.lines, "      ")
    if found.evidence is not None and view.verdict != "good":
        _show_evidence(found.evidence)
    if found.unknown:
        print()
    for sentence in found.unknown:
        output.line(f"not known: {sentence}")


def _show_task(found: TaskPage) -> None:
    state = "" if found.exit_code is None else f": exit {found.exit_code}"
    took = "" if found.took_seconds is None else f", {_seconds(found.took_seconds)}"
    print("\nrelease task")
    output.line(f"  {found.command}{state}{took}", hanging=4)
    _show_lines(found.lines, "    ")


def _show_lines(lines: Iterable[Wrote], indent: str) -> None:
    for each in lines:
        output.line(f"{indent}| {each.text}", hanging=2)


def _show_evidence(evidence: Evidence) -> None:
    print("\nverdict")
    output.line(f"  {evidence.summary}", hanging=4)
    for each in evidence.lines:
        output.line(f"    {each}")
    if evidence.hint:
        print(f"    → {output.printable(hint.completed(evidence.hint))}")


def _seconds(number: float) -> str:
    return f"{number:.1f} s" if number < 120 else f"{number / 60:.1f} min"
