"""What a person means by the names in a `run` or `exec`: app, release, group, instance, process type, session. Pure.
Called by each engine's sessions."""

from collections.abc import Collection, Mapping

from homeport.errors import Invalid, NotFound
from homeport.model.platform import Group, Resolved
from homeport.model.session import Session
from homeport.plan.mistake import instead


def app(place: str, known: Collection[str], asked: str | None) -> str:
    """The only one, where none is asked for. Raises `NotFound`, `Invalid`."""
    names = sorted(known)
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None and names:
        raise Invalid(f"{place} has {len(names)} apps: {', '.join(names)}", hint=f"say which: --app {names[0]}")
    if asked is None or asked not in names:
        raise NotFound(f"no app {asked or ''!r} in {place}{instead(asked or '', names)}", hint="homeport status")
    return asked


def release(place: str, name: str, runs: int | None, asked: int | None) -> int:
    """`runs`: what new instances of the app get, None: nothing. Raises `NotFound`."""
    number = runs if asked is None else asked
    if number is None:
        raise NotFound(f"{name} runs no release in {place} yet", hint=f"homeport deploy -e {place.partition('/')[2]}")
    return number


def group(resolved: Resolved, number: int, asked: str | None) -> Group:
    """The one that serves, where none is asked for. Raises `NotFound`."""
    serving = next((each for each in resolved.groups if "web" in each.run), resolved.groups[0])
    chosen = serving if asked is None else resolved.group(asked)
    if chosen is None:
        names = [each.name for each in resolved.groups]
        raise NotFound(f"r{number} of {resolved.app} has no group {asked!r}{instead(asked or '', names)}")
    return chosen


def process_type(instance: str, group: Group, asked: str | None) -> str:
    """The one that serves, where none is asked for. Raises `NotFound`."""
    name = asked or ("web" if "web" in group.run else group.run[0])
    if name not in group.run:
        raise NotFound(f"{instance} runs no process type {name!r}{instead(name, group.run)}")
    return name


def instance(place: str, gone: Mapping[str, str], asked: str) -> None:
    """Nothing, where it lives. `gone`: of each that is known, what is against it; empty for one that lives. Raises
    `NotFound`."""
    live = [id_ for id_, why in gone.items() if not why]
    if asked in live:
        return
    if asked not in gone:
        raise NotFound(f"no instance {asked!r} in {place}{instead(asked, live)}", hint="homeport ps")
    raise NotFound(f"{asked} {gone[asked]}; live: {', '.join(live) or 'none'}", hint="homeport ps")


def session(place: str, known: Collection[Session], asked: str) -> None:
    """Nothing, where it goes on. Raises `NotFound`."""
    live = [each.id for each in known if each.ended_at is None]
    if asked in live:
        return
    what = f"{asked} has ended" if any(each.id == asked for each in known) else f"no session {asked!r} in {place}"
    raise NotFound(f"{what}{instead(asked, live)}", hint="homeport ps --all")
