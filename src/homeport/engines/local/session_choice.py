"""What there is that a `run` or `exec` can mean, by records and /proc; `plan.session_choice` chooses. Called by
`session`; changes nothing."""

from msgspec import Struct

from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records, SessionRecord
from homeport.errors import Conflict, NotFound
from homeport.model.fleet import State
from homeport.model.platform import Group
from homeport.plan import session_choice as choice
from homeport.plan.mistake import instead
from homeport.system import process

NOTHING_RUNS = "has no processes just now"


class Chosen(Struct, frozen=True, kw_only=True):
    """`group`: as its release has it."""

    app: str
    release: int
    group: Group


def environment(records: Records, id_: str) -> EnvironmentRecord:
    """Raises `NotFound`, `Conflict` where it is going down."""
    up = records.environments()
    if id_ not in up:
        raise NotFound(f"environment {id_!r} isn't up{instead(id_, up) if up else ''}", hint="homeport up")
    if up[id_].closing:
        raise Conflict(f"{id_} is going down", hint="homeport up, in a moment")
    return up[id_]


def one_off(records: Records, place: str, name: str, *, release: int | None, group: str | None) -> Chosen:
    """What a one-off instance of that app is made of. Raises `NotFound`."""
    number = choice.release(place, name, records.app(place, name).launch, release)
    found = records.release(place, name, number)
    if found is None:
        raise NotFound(f"r{number} of {name} isn't prepared in {place}", hint="homeport release list")
    return Chosen(app=name, release=number, group=choice.group(found.resolved, number, group))


def instance(records: Records, place: str, id_: str) -> InstanceRecord:
    """One that lives. Raises `NotFound`."""
    everything = records.instances(place)
    choice.instance(place, {name: _against(each) for name, each in everything.items()}, id_)
    return everything[id_]


def session(records: Records, place: str, id_: str) -> SessionRecord:
    """One that goes on. Raises `NotFound`."""
    everything = records.sessions(place)
    choice.session(place, [each.seen for each in everything.values()], id_)
    return everything[id_]


def _against(found: InstanceRecord) -> str:
    """Why nothing can be done inside it; empty: it lives."""
    seen = found.seen
    if seen.state is State.TERMINATED:
        return "has ended"
    if found.boot_id == process.boot_id() and seen.pid is not None and found.started is not None:
        return "" if process.alive(seen.pid, found.started) else NOTHING_RUNS
    return NOTHING_RUNS
