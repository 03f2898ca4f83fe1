"""`homeport release`: what was built."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.cli.commands import Commands
from homeport.errors import CHANGES_EXIT_CODE

if TYPE_CHECKING:
    from homeport.model.release import Release
    from homeport.releases.catalogue import Catalogue


@click.group(cls=Commands)
def release() -> None:
    """Releases: code, config, formation."""


@release.command(
    epilog=options.example(
        "homeport release create", "homeport release create --from shop.tar.gz --json", see="deploy, release list"
    )
)
@options.by_file
@options.tarball
@click.option("--force", is_flag=True, help="Make a new one even if nothing has changed.")
@options.app
@options.common
def create(
    environment: str | None,
    directory: Path,
    as_json: bool,
    dirty: bool,
    tarball: Path | None,
    force: bool,
    app: str | None,
) -> None:
    """Build and publish a release, without deploying it."""
    from homeport.cli import bring
    from homeport.cli.code import Asked, read_code

    asked = Asked(
        directory=directory,
        environment=environment,
        app=app,
        dirty=dirty,
        tarball=tarball,
        force=force,
        why="release create",
    )
    made = []
    with output.Progress(quiet=as_json) as progress:
        for code in read_code(asked, progress.say):
            made.append(bring.make_release(code, asked, progress, _catalogue()))
    if as_json:
        rows = [{**_row(found), "created": new} for found, new in made]
        output.emit(rows[0] if len(rows) == 1 else {"releases": rows})
        return
    for found, new in made:
        print(f"{found.app} {found.id}" if new else f"{found.app} {found.id} is this already")
        print(f"deploy it: homeport deploy --release {found.id} -e {found.environment}")


@release.command(
    "list",
    epilog=options.example(
        "homeport release list", "homeport release list -n 5 --json", see="release show, rollback, deployment list"
    ),
)
@click.option("-n", "--lines", metavar="N", type=click.IntRange(1), default=20, help="The newest so many. Default: 20.")
@options.app
@options.common
def list_(environment: str | None, directory: Path, as_json: bool, lines: int, app: str | None) -> None:
    """List releases, newest first: which runs, which were good."""
    from homeport.cli.bring import running_if_up

    where = place.stored_environment(directory, environment)
    app = place.app_name(directory, where, app)
    name = where.partition("/")[2]
    catalogue = _catalogue()
    found = catalogue.list(app, name, lines)
    good = catalogue.good(app, name)
    running = running_if_up(catalogue, where, app)
    rows = [
        {**_row(each), "good": each.number in good, "running": running is not None and running.number == each.number}
        for each in found
    ]
    if as_json:
        output.emit({"app": app, "environment": where, "releases": rows})
        return
    if not rows:
        print(f"{app} has no release in {name}")
        return
    output.table(
        ("RELEASE", "", "COMMIT", "CREATED", "BY", "WHY", "SUBJECT"),
        [
            (
                each.id,
                "runs" if row["running"] else "good" if row["good"] else "",
                each.slug.commit[:10] + ("+" if each.slug.dirty else ""),
                output.ago(each.created_at),
                each.created_by,
                each.why,
                each.slug.subject[:60],
            )
            for each, row in zip(found, rows, strict=True)
        ],
        spare=("BY", "WHY"),
    )


@release.command(
    epilog=options.example(
        "homeport release show r3", "homeport release show r3 --json", see="release diff, config list"
    )
)
@click.argument("name", metavar="rN", shell_complete=candidates.releases)
@options.app
@options.common
def show(environment: str | None, directory: Path, as_json: bool, name: str, app: str | None) -> None:
    """Show what a release is made of. Values of variables are shown by `config list`."""
    found = _get(directory, environment, app, name)
    if as_json:
        output.emit(found)
        return
    slug = found.slug
    print(f"{found.app} {found.id} for {found.resolved.place.id}")
    task = found.resolved.release_task
    rows = [
        ("commit", f"{slug.commit}{' and what was not committed' if slug.dirty else ''}  {slug.subject}"),
        ("created", f"{output.timestamp(found.created_at)} by {found.created_by}: {found.why}"),
        ("image", slug.image),
        *((layer.kind, f"{layer.sha256[:12]}, {output.size(layer.size_bytes)}") for layer in slug.layers),
        ("strategy", found.resolved.deploy.strategy),
        ("release task", f"{task}{'' if found.run_release_task else '   (not run)'}" if task else "none"),
    ]
    output.table(("", ""), rows, indent="  ")
    output.table(
        ("GROUP", "INSTANCES", "RUNS"),
        [
            (
                group.name,
                f"{group.instances.min} ≤ {group.instances.desired} ≤ {group.instances.max}",
                "; ".join(f"{each}: {found.resolved.processes.get(each, '?')}" for each in group.run),
            )
            for group in found.resolved.groups
        ],
        indent="  ",
    )


@release.command(
    epilog=options.example(
        "homeport release diff r11 r12",
        "homeport release diff r11 r12 --exit-code",
        codes={10: "with --exit-code: something differs"},
        see="release show, status, config diff",
    )
)
@click.argument("old", metavar="rN", shell_complete=candidates.releases)
@click.argument("new", metavar="rM", shell_complete=candidates.releases)
@options.exit_code
@options.app
@options.common
def diff(
    environment: str | None, directory: Path, as_json: bool, old: str, new: str, exit_code: bool, app: str | None
) -> int:
    """Show what changes from one release to another. Secrets are compared, and never shown."""
    from homeport.cli import difference, standing
    from homeport.plan.difference import difference as difference_of
    from homeport.releases.side import side_of
    from homeport.wiring import storage

    one, other = (_get(directory, environment, app, each) for each in (old, new))
    store, encryption = _catalogue().store, storage.encryption(storage.home())
    found = difference_of(side_of(one, store, encryption), side_of(other, store, encryption))
    apart = standing.commits(directory, one.app, one.slug.commit, other.slug.commit)
    if as_json:
        ends = {"old": _row(one), "new": _row(other)}
        output.emit({"app": one.app, **ends, "same": not found, "commits": apart, "difference": found})
    else:
        print(f"{one.app} {one.id} → {other.id} of {one.resolved.place.id}")
        if found:
            difference.show(found, apart)
        else:
            print("  no difference")
    return CHANGES_EXIT_CODE if found and exit_code else 0


@release.command(
    epilog=options.example("homeport release export r3", "homeport release export r3 -o /tmp/r3", see="release show")
)
@click.argument("name", metavar="rN", shell_complete=candidates.releases)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to write. Default: here.",
)
@options.app
@options.common
def export(environment: str | None, directory: Path, as_json: bool, name: str, target: Path, app: str | None) -> None:
    """Write a release as a plain pair: a tar.gz, and a bash file of exports with every secret in clear."""
    from homeport.releases.export import export as write
    from homeport.wiring import storage

    found = _get(directory, environment, app, name)
    home = storage.home()
    archive, variables = write(storage.store(home), found, storage.encryption(home), target)
    if as_json:
        output.emit({"archive": str(archive), "variables": str(variables)})
        return
    print(archive)
    print(f"{variables}   # secrets in clear: readable only by you")


def _catalogue() -> "Catalogue":
    from homeport.wiring import storage

    return storage.catalogue(storage.store(storage.home()))


def _get(directory: Path, environment: str | None, app: str | None, name: str) -> "Release":
    where = place.stored_environment(directory, environment)
    return _catalogue().get(place.app_name(directory, where, app), where.partition("/")[2], name)


def _row(found: "Release") -> dict[str, object]:
    return {
        "release": found.id,
        "app": found.app,
        "environment": found.resolved.place.id,
        "commit": found.slug.commit,
        "dirty": found.slug.dirty,
        "subject": found.slug.subject,
        "created_at": found.created_at,
        "created_by": found.created_by,
        "why": found.why,
        "origin": f"r{found.origin}",
    }
