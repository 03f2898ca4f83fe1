"""What a person means by the names in a `run` or `exec`: environment, app, release, group, instance, process type.
Called by `session`. Asks records and /proc; changes nothing."""

from msgspec import Struct

from homeport.engines.local.record import EnvironmentRecord, InstanceRecord, Records, SessionRecord
from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.fleet import State
from homeport.model.platform import Group
from homeport.plan.mistake import instead
from homeport.system import process


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


def app(records: Records, place: str, asked: str | None) -> str:
    """The only one, where none is asked for. Raises `NotFound`, `Invalid`."""
    names = sorted(records.apps(place))
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None and names:
        raise Invalid(f"{place} has {len(names)} apps: {', '.join(names)}", hint=f"say which: --app {names[0]}")
    if asked not in names:
        raise NotFound(f"no app {asked or ''!r} in {place}{instead(asked or '', names)}", hint="homeport status")
    return str(asked)


def one_off(records: Records, place: str, name: str, *, release: int | None, group: str | None) -> Chosen:
    """What a one-off instance of that app is made of. Raises `NotFound`."""
    number = records.app(place, name).launch if release is None else release
    if number is None:
        raise NotFound(f"{name} runs no release in {place} yet", hint="homeport deploy")
    found = records.release(place, name, number)
    if found is None:
        raise NotFound(f"r{number} of {name} isn't prepared in {place}", hint="homeport release list")
    groups = found.resolved.groups
    serving = next((each for each in groups if "web" in each.run), groups[0])
    chosen = serving if group is None else found.resolved.group(group)
    if chosen is None:
        raise NotFound(f"r{number} of {name} has no group {group!r}{instead(group or '', [g.name for g in groups])}")
    return Chosen(app=name, release=number, group=chosen)


def instance(records: Records, place: str, id_: str) -> InstanceRecord:
    """One that lives. Raises `NotFound`."""
    everything = records.instances(place)
    live = [name for name, each in everything.items() if lives(each)]
    if id_ in live:
        return everything[id_]
    if id_ not in everything:
        raise NotFound(f"no instance {id_!r} in {place}{instead(id_, live)}", hint="homeport ps")
    what = "has ended" if everything[id_].seen.state is State.TERMINATED else "has no processes just now"
    raise NotFound(f"{id_} {what}; live: {', '.join(live) or 'none'}", hint="homeport ps")


def process_type(id_: str, group: Group, asked: str | None) -> str:
    """The one that serves, where none is asked for. Raises `NotFound`."""
    name = asked or ("web" if "web" in group.run else group.run[0])
    if name not in group.run:
        raise NotFound(f"{id_} runs no process type {name!r}{instead(name, group.run)}")
    return name


def session(records: Records, place: str, id_: str) -> SessionRecord:
    """One that goes on. Raises `NotFound`."""
    everything = records.sessions(place)
    live = [name for name, each in everything.items() if each.seen.ended_at is None]
    if id_ in live:
        return everything[id_]
    what = f"{id_} has ended" if id_ in everything else f"no session {id_!r} in {place}"
    raise NotFound(f"{what}{instead(id_, live)}", hint="homeport ps --all")


def lives(found: InstanceRecord) -> bool:
    seen = found.seen
    if (
        found.boot_id != process.boot_id()
        or seen.state is State.TERMINATED
        or seen.pid is None
        or found.started is None
    ):
        return False
    return process.alive(seen.pid, found.started)
