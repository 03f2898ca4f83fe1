"""An environment that isn't on this machine: which one a command means, and its control plane inside this very process.
Called by `place`.
"""

import atexit
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli.client import Client
from homeport.errors import HomeportError, NoStore, NotUp

if TYPE_CHECKING:
    from homeport.console.inside import Inside
    from homeport.model.platform import Place

_inside: "list[Inside]" = []
"""The one of this process, once it was needed."""


def choose(directory: Path, asked: str | None) -> None:
    """This run works for the environment that is meant, if that is on AWS. What is wrong with the file is for the
    command to say."""
    from homeport.cli.place import platform_here
    from homeport.plan.platform import place_of
    from homeport.plan.platform_name import environment_name
    from homeport.wiring import storage

    try:
        platform = platform_here(directory)
        if platform is None:
            return
        stated, _, name = (asked or "").rpartition("/")
        if stated and stated != platform.name:
            return
        place = place_of(platform, environment_name(platform, name or None))
    except HomeportError:
        return
    if place.engine == "aws":
        storage.work_for(place)


def chosen() -> "Place | None":
    """None: the engine is this machine's."""
    from homeport.wiring import storage

    return storage.remote()


def client(*, drives: bool = False) -> "Client | None":
    """Of the control plane in this process, which is there until the process ends; None: the engine is this machine's.
    `drives`: deployments are carried on from now on. Raises `Invalid` without credentials, `Conflict` with those of
    another account."""
    from homeport.wiring import aws, storage

    place = storage.remote()
    if place is None:
        return None
    if not _inside:
        _inside.append(aws.control_inside(place))
        atexit.register(leave)
    if drives:
        _inside[0].drive()
    return Client(_inside[0])


def explained(error: NotUp | NoStore) -> HomeportError:
    """What stands of the environment nevertheless: half of an `up`, or of a `down`. On AWS the bucket comes with the
    first `up`, and nobody makes it by hand."""
    from homeport.wiring import aws

    place = chosen()
    if place is None:
        return error
    if isinstance(error, NoStore):
        error = NotUp(f"{place.id} isn't up: its bucket isn't there yet", hint=f"homeport up -e {place.name}")
    try:
        there = aws.standing(place)
    except HomeportError:
        return error
    if not there:
        return error
    stand, them = ("stand", "them") if len(there) > 1 else ("stands", "it")
    return NotUp(
        f"{place.id} isn't up, but {len(there)} of its stacks {stand}: {', '.join(sorted(there))}",
        hint=f"homeport down -e {place.name}, which takes {them} away; "
        f"or homeport up -e {place.name}, which goes on with {them}",
    )


def going_down() -> str:
    """What to say of an environment that goes down."""
    return "going down" if chosen() is None else "going down  → homeport down sees it to its end, if nobody is at it"


def leave() -> None:
    """The control plane of this process has ended. Harmless to repeat."""
    while _inside:
        _inside.pop().end()
