"""`homeport deploy`: a new release into an environment."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import candidates, options, output, place
from homeport.errors import Invalid

if TYPE_CHECKING:
    from homeport.cli.code import Asked
    from homeport.model.platform import Amount
    from homeport.model.release import Release


@click.command(
    epilog=options.example(
        "homeport deploy",
        "homeport deploy -e production",
        "homeport deploy --dry-run",
        "homeport deploy --detach",
        "homeport deploy --release r12",
        codes={6: "it isn't good; what ran before runs again", 10: "with --dry-run: something changes"},
        see="rollback, promote, status, deployment show",
    )
)
@click.option(
    "--release",
    "release_name",
    metavar="rN",
    shell_complete=candidates.releases,
    help="Deploy this release, which exists already.",
)
@click.option("--force", is_flag=True, help="A new release in new instances, even if nothing has changed: a restart.")
@click.option("--dry-run", is_flag=True, help="Only show what changes; exit code 10 if something does.")
@click.option(
    "--pause-after",
    "pause_said",
    metavar="SHARE",
    help="Wait for `homeport deployment continue` once so many instances (2, 25%) run it; over the file's pause_after.",
)
@click.option("--detach", is_flag=True, help="End once it has begun, with its number; no hook runs at its end.")
@options.by_file
@options.tarball
@options.over_freeze
@options.app
@options.common
def deploy(
    environment: str | None,
    directory: Path,
    as_json: bool,
    dirty: bool,
    tarball: Path | None,
    over_freeze: str | None,
    app: str | None,
    release_name: str | None,
    force: bool,
    dry_run: bool,
    pause_said: str | None,
    detach: bool,
) -> int:
    """Build the last commit and deploy it.

    Ends with the verdict. The engine does the work: Ctrl-C, or the end of this terminal, leaves the deployment alone.
    A release that isn't good is taken back by itself, and the exit code is 6.
    """
    from homeport.cli.code import Asked

    pause_after = _share(pause_said)
    if dry_run and detach:
        raise Invalid("--dry-run deploys nothing, so there is nothing to --detach from")
    if release_name is not None:
        if dirty or tarball or force:
            raise Invalid(
                "--release names something that is built already; --dirty, --from and --force don't go with it"
            )
        if dry_run:
            from homeport.cli.rehearsal import rehearse_existing

            return rehearse_existing(directory, environment, app, release_name, as_json=as_json)
        asked = Asked(directory=directory, pause_after=pause_after, over_freeze=over_freeze, detach=detach)
        _deploy_existing(environment, app, release_name, asked, as_json=as_json)
        return 0
    from homeport.cli.up import deploy_all

    asked = Asked(
        directory=directory,
        environment=environment,
        app=app,
        dirty=dirty,
        tarball=tarball,
        force=force,
        pause_after=pause_after,
        over_freeze=over_freeze,
        detach=detach,
    )
    if dry_run:
        from homeport.cli.rehearsal import rehearse

        return rehearse(asked, as_json=as_json)
    deploy_all(asked, as_json=as_json, notice_new=True)
    return 0


def _share(said: str | None) -> "Amount | None":
    """As `pause_after` in the platform file. Raises `Invalid`."""
    from homeport.plan.platform_value import amount

    if said is None:
        return None
    try:
        found: Amount = amount(1)(int(said) if said.isdecimal() else said)
    except Invalid as error:
        raise Invalid(f"--pause-after: {error.message}") from error
    return found


def _deploy_existing(environment: str | None, app: str | None, name: str, asked: "Asked", *, as_json: bool) -> None:
    from homeport.cli import bring
    from homeport.wiring import storage

    where = place.stored_environment(asked.directory, environment)
    app = place.app_name(asked.directory, where, app)
    catalogue = storage.catalogue(storage.store(storage.home()))
    release = catalogue.get(app, where.partition("/")[2], name)
    bring.check_platform(release, where)
    finish(asked, release, as_json=as_json)


def finish(asked: "Asked", release: "Release", *, as_json: bool) -> None:
    """An existing release runs; prints what became of it. Also called by `rollback` and `config`."""
    from homeport.cli import bring, follow

    api = place.running_engine()
    with output.Progress(quiet=as_json) as progress:
        by = place.person(asked.directory)
        outcome = bring.bring(api, release, asked, by=by, progress=progress)
        for note in outcome.notes:
            progress.say(f"note: {note}")
    if as_json:
        output.emit(outcome)
        return
    if outcome.verdict is None:
        print(follow.left(outcome))
        return
    print(f"{outcome.app} {outcome.release} {'is good' if outcome.changed else 'already runs'}")
    print("\n".join(outcome.urls))
