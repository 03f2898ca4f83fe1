"""An environment that isn't on this machine: which one a command means, and its control plane inside this very process.
Called by `place`.
"""

import atexit
from pathlib import Path
from typing import TYPE_CHECKING

from homeport.cli.client import Client
from homeport.errors import HomeportError

if TYPE_CHECKING:
    from homeport.console.inside import Inside
    from homeport.model.platform import Place

_inside: "list[Inside]" = []
"""The one of this process, once it was needed."""


def choose(directory: Path, asked: str | None) -> None:
    """This run works for the environment that is meant, if that is on AWS. What is wrong with the file is for the
    command to say."""
    from homeport import wiring
    from homeport.cli.place import platform_here
    from homeport.plan.platform import place_of
    from homeport.plan.platform_name import environment_name

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
        wiring.work_for(place)


def chosen() -> "Place | None":
    """None: the engine is this machine's."""
    from homeport import wiring

    return wiring.remote()


def client(*, drives: bool = False) -> "Client | None":
    """Of the control plane in this process, which is there until the process ends; None: the engine is this machine's.
    `drives`: deployments are carried on from now on. Raises `Invalid` without credentials, `Conflict` with those of
    another account."""
    from homeport import wiring

    if wiring.remote() is None:
        return None
    if not _inside:
        _inside.append(wiring.control_inside())
        atexit.register(leave)
    if drives:
        _inside[0].drive()
    return Client(_inside[0])


def leave() -> None:
    """The control plane of this process has ended. Harmless to repeat."""
    while _inside:
        _inside.pop().end()
