"""`homeport doctor`: what this machine lacks, or an environment on AWS, and the commands that mend it."""

from pathlib import Path

import click

from homeport.cli import hint, options, output, remote
from homeport.errors import Failed


@click.command(
    epilog=options.example(
        "homeport doctor",
        "homeport doctor -e production",
        "homeport doctor --json",
        codes={6: "something is missing"},
        see="engine status, status",
    )
)
@options.common
def doctor(environment: str | None, directory: Path, as_json: bool) -> None:
    """Check what this machine lacks.

    For an environment on AWS: what building needs of this machine, and there credentials, clock, rights, bucket,
    images, stacks, and whether instances hear commands. Nothing is changed.

    Exit code 6 where something that is needed is missing.
    """
    from homeport.wiring import engine, storage

    place = remote.chosen()
    what = "this machine" if place is None else f"{place.id}, or this machine,"
    with output.Progress(quiet=as_json) as progress:
        if place is not None:
            progress.waiting(f"looking at this machine, and at {place.id} on AWS")
        checks = engine.doctor(storage.home())
    bad = [each for each in checks if not each.ok and each.needed]
    if as_json:
        output.emit({"ok": not bad, "checks": checks})
        click.get_current_context().exit(Failed.exit_code if bad else 0)
    for each in checks:
        mark = "ok     " if each.ok else "MISSING" if each.needed else "advice "
        output.line(f"{mark}  {each.name}: {each.found}", hanging=9)
        if not each.ok:
            output.line(f"         expected: {each.expected}", hanging=4)
            if each.mend:
                print(f"         → {output.printable(hint.completed(each.mend))}")  # whole: it is to be typed
    if bad:
        raise Failed(f"{what} lacks {output.plural(len(bad), 'thing')}: {', '.join(each.name for each in bad)}")
    print("this machine is ready" if place is None else f"this machine and {place.id} are ready")
