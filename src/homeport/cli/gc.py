"""`homeport gc`: what nothing needs any more goes, or is listed with the reason."""

import re
from collections.abc import Iterable
from itertools import groupby

import click

from homeport.cli import options, output, place
from homeport.console.views import CleanedView
from homeport.errors import Unavailable
from homeport.model.retention import Removal

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b(\.tar\.zst)?")


@click.command(
    epilog=options.example(
        "homeport gc --dry-run",
        "homeport gc",
        "homeport gc --json",
        codes={5: "something couldn't be looked at or removed; the rest is done"},
        see="status, release list",
    )
)
@click.option("--dry-run", is_flag=True, help="List what would go, and what is kept because of what; remove nothing.")
@options.as_json
def gc(dry_run: bool, as_json: bool) -> None:
    """Remove what nothing needs any more.

    Releases beyond those that homeport.toml keeps, layers that no release has, old journals, what killed builds and
    ended instances left, old logs: in the store and on this machine. The engine does the same by itself, after each
    good deployment and every day. Exit code 5 where something couldn't be looked at or removed; the rest is done all
    the same.
    """
    from homeport import daemon

    started = not daemon.running(place.home())
    api = place.running_engine()
    try:
        with output.Progress(quiet=as_json) as progress:
            progress.goes_on("the engine finishes what it has begun", "homeport status")
            progress.waiting("looking through the store and this machine")
            done = api.clean(dry_run=dry_run)
    finally:
        if started:
            place.stop_if_empty(api)
    if as_json:
        output.emit(done)
    else:
        show(done)
    if done.problems:
        raise Unavailable(
            f"{output.plural(len(done.problems), 'part')} couldn't be cleaned up: {done.problems[0]}",
            hint="homeport gc, once that is mended",
            details=done.problems[1:],
        )


def show(done: CleanedView) -> None:
    going = [*_rows(done.machine), *_rows(done.store)]
    if going:
        output.table(("GOES", "SIZE", "WHY"), going)
    kept = [(each.what.removesuffix("/release.json"), each.why) for each in done.kept if "release.json" in each.what]
    if done.dry_run and kept:
        print()
        output.table(("STAYS", "WHY"), kept)
    count = len(done.machine) + len(done.store)
    if done.dry_run:
        said = f"would free {output.size(done.freed_bytes)}; nothing was removed" if count else "nothing would go"
    else:
        said = f"freed {output.size(done.freed_bytes)}" if count else "there is nothing to remove"
    print(f"\n{said}" if going or (done.dry_run and kept) else said)


def _rows(removals: Iterable[Removal]) -> list[tuple[str, str, str]]:
    rows = []
    for (what, why), group in groupby(removals, key=lambda each: (_shown(each.what), each.why)):
        each = list(group)
        name = f"{what} ({output.plural(len(each), 'object')})" if what.endswith("/") else what
        rows.append((name, output.size(sum(one.size_bytes for one in each)), why))
    return rows


def _shown(what: str) -> str:
    """Digests in short. Releases, layers and what lies on the machine get a line each; of other objects only how many
    there are in a place."""
    what = _DIGEST.sub(r"\1", what).removesuffix("/release.json")
    inside = what.split("/", 3)
    if len(inside) < 4 or what.startswith(("state.db/", "logs/", "instances/")):
        return what
    return "/".join(inside[:3]) + "/"
