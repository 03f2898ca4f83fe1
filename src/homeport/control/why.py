"""Gathers what is known of the past, for `homeport why`; the chain is `plan.why`'s. Called by `console`, and by
`wiring` where no engine runs.

Under the loop's lock nothing is done but an observation.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from homeport.control import journal
from homeport.control.control import Control
from homeport.errors import HomeportError, NotFound
from homeport.model.event import Event
from homeport.model.fleet import Observation
from homeport.model.why import Console, Why
from homeport.plan import why
from homeport.plan.cause import Journals, Past
from homeport.plan.desired import size
from homeport.ports.engine import LogLine, LogQuery
from homeport.ports.objects import ObjectStore

FIRST_LINES = 5
LAST_LINES = 15
PAGE = 10_000
Events = Callable[[int, int], Sequence[Event]]
"""(above this number, at most so many) → events, the oldest first."""


class Sources(Struct, frozen=True, kw_only=True):
    """Where the past of an environment lies. `control` None: it isn't up; then `observed` has nothing."""

    environment: str
    observed: Observation
    events: Events
    logs: Callable[[LogQuery], Iterable[LogLine]]
    store: ObjectStore
    control: Control | None = None
    history: Callable[[], Sequence[Event]] = tuple
    """What the engine's own machinery tells."""


def explain(control: Control, environment: str, word: str, app: str | None) -> Why:
    """Also of an environment that isn't up any more. Raises `NotFound` with the nearest ids, `Invalid`."""
    here: Control | None = control
    try:
        observed = control.observation(environment)[0]
    except NotFound:
        if not control.engine.events(environment, 0, 1):
            raise
        here, observed = None, Observation(at=control.clock.now())
    sources = Sources(
        environment=environment,
        observed=observed,
        events=lambda after, limit: control.engine.events(environment, after, limit),
        logs=lambda query: control.engine.logs(environment, query),
        store=control.store,
        control=here,
        history=tuple if here is None else lambda: control.engine.history(environment),
    )
    return tell(sources, word, app)


def tell(sources: Sources, word: str, app: str | None) -> Why:
    """As `explain`, from wherever the past lies."""
    unknown: list[str] = []
    events = _all(sources.events)
    try:
        events = sorted([*events, *sources.history()], key=lambda each: each.at)
    except HomeportError as error:
        unknown.append(f"what the engine did by itself: {error.message}")
    names = {*sources.observed.fence, *sources.observed.launch, *(each.app for each in events if each.app)}
    told, lacking = _journals(sources, names)
    unknown += lacking
    past = Past(environment=sources.environment, observed=sources.observed, events=events, journals=told)
    meant = why.subject(past, word, app)
    match meant.kind:
        case "instance":
            reason = _reasons(sources).get(meant.name, "")
            found = why.of_instance(past, meant.app, meant.name, reason, _console(sources, meant.name))
        case "session":
            found = why.of_session(past, meant.app, meant.name, _console(sources, meant.name))
        case "group":
            found = why.of_group(past, meant.app, meant.name, _wanted(sources, meant))
        case "deployment":
            waits_for = ""
            if sources.control is not None:
                _, waits_for = sources.control.deployment(sources.environment, meant.app, meant.number)
            found = why.of_deployment(past, meant.app, meant.number, waits_for, lambda name: _console(sources, name))
    return replace(found, unknown=(*found.unknown, *unknown))


def _all(events: Events) -> list[Event]:
    found: list[Event] = []
    while True:
        page = events(found[-1].number if found else 0, PAGE)
        found += page
        if len(page) < PAGE:
            return found


def _console(sources: Sources, name: str) -> Console:
    """What the instance or task of that name wrote; nothing, where that isn't kept any more."""
    first: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES)
    count = 0
    try:
        for line in sources.logs(LogQuery(instance=name)):
            text = f"{line.at:%Y-%m-%d %H:%M:%S} {line.process}: {line.text}"
            count += 1
            if len(first) < FIRST_LINES:
                first.append(text)
            else:
                last.append(text)
    except HomeportError:
        return Console()
    return Console(first=tuple(first), left_out=max(0, count - len(first) - len(last)), last=tuple(last))


def _journals(sources: Sources, apps: Iterable[str]) -> tuple[Journals, list[str]]:
    """And what couldn't be found out."""
    name = sources.environment.partition("/")[2]
    found: Journals = {}
    unknown = []
    for app in sorted(apps):
        try:
            found[app] = tuple(journal.Journals(sources.store, app, name).all())
        except HomeportError as error:
            unknown.append(f"the deployments of {app}: {error.message}")
    return found, unknown


def _reasons(sources: Sources) -> dict[str, str]:
    return {} if sources.control is None else sources.control.observation(sources.environment)[1]


def _wanted(sources: Sources, meant: why.Subject) -> why.Wanted:
    if sources.control is None:
        return why.Wanted(size=f"none wanted: {sources.environment} isn't up")
    with sources.control.changed:
        here = sources.control.environments[sources.environment]
        care = here.care.get((meant.app, meant.name))
        notes = care.notes if care is not None else ()
        launch = sources.observed.launch.get(meant.app)
        asked = here.engine.asked(sources.environment).of(meant.app, meant.name)
        try:
            group = None if launch is None else here.app(meant.app).resolve(launch)[launch].group(meant.name)
        except HomeportError:
            return why.Wanted(size="how many are wanted can't be found out now", notes=notes)
    if group is None:
        return why.Wanted(size="none wanted: the release that new instances get doesn't have it", notes=notes)
    count = size(group, {} if asked.desired is None else {meant.name: asked.desired})
    source = "the platform file" if asked.desired is None else "homeport scale"
    bounds = f"{group.instances.min} to {group.instances.max}"
    return why.Wanted(size=f"{count} wanted by {source}, within {bounds}", notes=notes, reasons=_reasons(sources))
