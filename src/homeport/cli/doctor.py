"""`homeport doctor`: what this machine lacks, and the commands that mend it."""

import click

from homeport.cli import options, output
from homeport.errors import Failed


@click.command(
    epilog=options.example(
        "homeport doctor", "homeport doctor --json", codes={6: "something is missing"}, see="engine status"
    )
)
@options.as_json
def doctor(as_json: bool) -> None:
    """Check what this machine lacks.

    Exit code 6 where something that is needed is missing.
    """
    from homeport import wiring

    checks = wiring.doctor(wiring.home())
    bad = [each for each in checks if not each.ok and each.needed]
    if as_json:
        output.emit({"ok": not bad, "checks": checks})
        click.get_current_context().exit(Failed.exit_code if bad else 0)
    for each in checks:
        mark = "ok     " if each.ok else "MISSING" if each.needed else "advice "
        print(f"{mark}  {each.name}: {each.found}")
        if not each.ok:
            print(f"         expected: {each.expected}")
            if each.mend:
                print(f"         → {each.mend}")
    if bad:
        raise Failed(f"this machine lacks {output.plural(len(bad), 'thing')}: {', '.join(each.name for each in bad)}")
    print("this machine is ready")
