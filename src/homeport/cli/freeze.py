"""`homeport freeze` and `unfreeze`: until when nothing may be deployed. `check` is asked by every command that deploys,
before it makes anything."""

import contextlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import options, output, place
from homeport.errors import HomeportError, Invalid

if TYPE_CHECKING:
    from homeport.model.freeze import Freeze
    from homeport.ports.objects import ObjectStore


@click.command(
    epilog=options.example(
        'homeport freeze -e production --until 2026-12-01 --why "sale"',
        'homeport freeze --for 2h --why "database moves"',
        see="unfreeze, status, deploy",
    )
)
@click.option("--until", "moment", metavar="TIME", help="A date or time, in UTC where it doesn't say.")
@click.option("--for", "duration", metavar="TIME", help="How long from now on, such as 2h.")
@click.option("--why", required=True, metavar="TEXT", help="What whoever deploys gets to hear.")
@options.common
def freeze(
    environment: str | None, directory: Path, as_json: bool, moment: str | None, duration: str | None, why: str
) -> None:
    """Let nobody deploy to an environment for a time.

    Kept in the store: it holds for every app of the environment, from every machine that uses the store. What runs is
    healed and scaled; a deployment that goes on goes on, or back. Again: the new end and reason hold.
    """
    from homeport.model.freeze import Freeze
    from homeport.plan.freeze import in_words, until_at
    from homeport.system.clock import SystemClock

    now = SystemClock().now()
    end_at = until_at(moment, duration, now)
    if not why.strip():
        raise Invalid("--why is empty; it is what whoever deploys gets to hear")
    where = place.stored_environment(directory, environment)
    said = Freeze(at=now, by=place.person(directory), why=why.strip(), until_at=end_at)
    _say(where, said)
    if as_json:
        output.emit({"environment": where, "freeze": said})
    else:
        output.line(f"{where} is frozen {in_words(said)}")


@click.command(epilog=options.example("homeport unfreeze", "homeport unfreeze -e production", see="freeze, status"))
@options.common
def unfreeze(environment: str | None, directory: Path, as_json: bool) -> None:
    """Let deploy again to an environment that was frozen. Harmless where it isn't."""
    from homeport.model.freeze import Freeze
    from homeport.plan.freeze import in_words
    from homeport.system.clock import SystemClock
    from homeport.wiring import storage

    where = place.stored_environment(directory, environment)
    now = SystemClock().now()
    before = _holding(storage.store(storage.home()), where, now)
    if before is not None:
        _say(where, Freeze(at=now, by=place.person(directory), why="lifted", until_at=None))
    if as_json:
        output.emit({"environment": where, "was": before})
    elif before is None:
        print(f"{where} isn't frozen")
    else:
        output.line(f"{where} isn't frozen any more; it was {in_words(before)}")


def check(store: "ObjectStore", environment: str, over: str | None) -> None:
    """Raises `Conflict` where the environment is frozen, unless `over` says why that doesn't count."""
    from homeport.plan.freeze import refusal
    from homeport.system.clock import SystemClock

    if over is not None:
        if not over.strip():
            raise Invalid('--override-freeze is empty: say why, such as --override-freeze "the login is broken"')
        return
    found = _holding(store, environment, SystemClock().now())
    if found is not None:
        raise refusal(found, environment)


def _holding(store: "ObjectStore", environment: str, now: datetime) -> "Freeze | None":
    from homeport.plan.freeze import holding
    from homeport.releases.freeze import Freezes

    return holding(Freezes(store).newest(environment), now)


def _say(environment: str, said: "Freeze") -> None:
    from homeport.releases.freeze import Freezes
    from homeport.wiring import storage

    Freezes(storage.store(storage.home())).say(environment, said)
    with contextlib.suppress(HomeportError):  # it holds, whether or not an engine of here tells of it
        place.client().note_freeze(environment)
