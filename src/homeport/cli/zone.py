"""`homeport zone`: zones fail on purpose, to see what becomes of it."""

from pathlib import Path

import click

from homeport.cli import options, output, place
from homeport.cli.commands import Commands
from homeport.console.request import ZoneRequest
from homeport.console.views import ZoneView


@click.group(cls=Commands)
def zone() -> None:
    """Have a zone fail, and restore it."""


@zone.command(
    epilog=options.example(
        "homeport zone fail a", "homeport zone fail a --freeze", see="zone restore, zone list, simulate fleet"
    )
)
@click.argument("name", metavar="ZONE")
@click.option("--freeze", is_flag=True, help="Its instances are stopped and go on when it is restored.")
@options.common
def fail(environment: str | None, directory: Path, as_json: bool, name: str, freeze: bool) -> None:
    """Have a whole zone fail: an experiment.

    Its instances are killed, or with --freeze stopped as they are; none is launched there. What they were for is
    launched in the other zones. The last zone that is well can't fail. `homeport down` restores all of them.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    failure = "freeze" if freeze else "kill"
    request = ZoneRequest(zone=name, failure="freeze" if freeze else "kill", by=place.person(directory))
    changed = api.ask_zone(where, request)
    if as_json:
        output.emit({"environment": where, "zone": name, "failure": failure, "changed": changed})
        return
    what = "its instances are frozen" if freeze else "its instances are killed"
    output.line(
        f"zone {name} of {where} has failed: {what}, none is launched there" + ("" if changed else ", as before")
    )
    output.line(f"→ homeport zone restore {name}")


@zone.command(epilog=options.example("homeport zone restore a", see="zone fail, zone list"))
@click.argument("name", metavar="ZONE")
@options.common
def restore(environment: str | None, directory: Path, as_json: bool, name: str) -> None:
    """Have a zone back that has failed.

    What was frozen goes on. Instances move there, one at a time, until the zones are even. Harmless where it is well.
    """
    api = place.client()
    where = place.environment_id(directory, environment, api)
    request = ZoneRequest(zone=name, failure=None, by=place.person(directory))
    changed = api.ask_zone(where, request)
    if as_json:
        output.emit({"environment": where, "zone": name, "failure": "", "changed": changed})
    else:
        print(f"zone {name} of {where} is restored" if changed else f"zone {name} of {where} is well")


@zone.command("list", epilog=options.example("homeport zone list", "homeport zone list --json", see="ps, status"))
@options.common
def list_(environment: str | None, directory: Path, as_json: bool) -> None:
    """List the zones: how many instances are there, and which have failed."""
    api = place.client()
    where = place.environment_id(directory, environment, api)
    found = api.status(where).zones
    if as_json:
        output.emit({"environment": where, "zones": found})
        return
    rows = [(each.zone, each.instances, in_words(each)) for each in found]
    output.table(("ZONE", "INSTANCES", "STATE"), rows)


def in_words(found: ZoneView) -> str:
    """How the zone is."""
    if not found.failure:
        return "well"
    what = {"kill": "failed, killed", "freeze": "failed, frozen"}[found.failure]
    return what if found.since_at is None else f"{what} {output.ago(found.since_at)}"
