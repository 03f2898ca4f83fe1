"""Gathers what is known of the past, for `homeport why`; the chain is `plan.why`'s. Called by `console`.

Nothing is looked at under the loop's lock for longer than an observation takes.
"""

from collections import deque

from homeport.control.control import Control
from homeport.errors import HomeportError
from homeport.model.event import Event
from homeport.model.why import Console, Why
from homeport.plan import why
from homeport.plan.cause import Journals, Past
from homeport.plan.desired import size
from homeport.ports.engine import LogQuery

FIRST_LINES = 5
LAST_LINES = 15
PAGE = 10_000


def explain(control: Control, environment: str, word: str, app: str | None) -> Why:
    """Raises `NotFound` with the nearest ids, `Invalid`."""
    observed, reasons, _ = control.observation(environment)
    events = _events(control, environment)
    journals, unknown = _journals(control, environment, {*observed.fence, *observed.launch})
    past = Past(environment=environment, observed=observed, events=events, journals=journals)
    meant = why.subject(past, word, app)

    def write(name: str) -> Console:
        return console(control, environment, name)

    match meant.kind:
        case "instance":
            found = why.of_instance(past, meant.app, meant.name, reasons.get(meant.name, ""), write(meant.name))
        case "group":
            found = why.of_group(past, meant.app, meant.name, _wanted(control, environment, meant, reasons))
        case "deployment":
            _, waits_for = control.deployment(environment, meant.app, meant.number)
            found = why.of_deployment(past, meant.app, meant.number, waits_for, write)
    return why.with_unknown(found, unknown)


def console(control: Control, environment: str, name: str) -> Console:
    """What the instance or task of that name wrote; nothing, where that isn't kept any more."""
    first: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES)
    count = 0
    try:
        lines = control.engine.logs(environment, LogQuery(instance=name))
        for line in lines:
            text = f"{line.at:%Y-%m-%d %H:%M:%S} {line.process}: {line.text}"
            count += 1
            if len(first) < FIRST_LINES:
                first.append(text)
            else:
                last.append(text)
    except HomeportError:
        return Console()
    return Console(first=tuple(first), left_out=max(0, count - len(first) - len(last)), last=tuple(last))


def _events(control: Control, environment: str) -> list[Event]:
    found: list[Event] = []
    while True:
        page = control.engine.events(environment, found[-1].number if found else 0, PAGE)
        found += page
        if len(page) < PAGE:
            return found


def _journals(control: Control, environment: str, apps: set[str]) -> tuple[Journals, list[str]]:
    """And what couldn't be found out."""
    found: Journals = {}
    unknown = []
    for app in sorted(apps):
        try:
            found[app] = tuple(each for each in control.deployments(environment, app) if each)
        except HomeportError as error:
            unknown.append(f"the deployments of {app}: {error.message}")
    return found, unknown


def _wanted(control: Control, environment: str, meant: why.Subject, reasons: dict[str, str]) -> why.Wanted:
    with control.changed:
        here = control.environments[environment]
        care = here.care.get((meant.app, meant.name))
        notes = care.notes if care is not None else ()
        launch = here.observe().launch.get(meant.app)
        asked = control.engine.asked(environment).of(meant.app, meant.name)
        try:
            group = None if launch is None else here.app(meant.app).resolve(launch)[launch].group(meant.name)
        except HomeportError:
            group = None
    if group is None:
        return why.Wanted(size="none wanted: the release that new instances get doesn't have it", notes=notes)
    count = size(group, {} if asked.desired is None else {meant.name: asked.desired})
    source = "the platform file" if asked.desired is None else "homeport scale"
    bounds = f"{group.instances.min} to {group.instances.max}"
    return why.Wanted(size=f"{count} wanted by {source}, within {bounds}", notes=notes, reasons=reasons)
