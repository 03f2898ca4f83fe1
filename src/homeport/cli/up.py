"""`homeport up`: from a repository to a running environment."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from homeport.cli import hint, options, output, place, remote

if TYPE_CHECKING:
    from homeport.cli.code import Asked


@click.command(
    epilog=options.example(
        "homeport up",
        "homeport up -e production",
        "homeport up --from shop.tar.gz",
        codes={6: "it isn't good; what ran before runs again"},
        see="deploy, status, open, down",
    )
)
@options.by_file
@options.tarball
@options.over_freeze
@options.app
@click.option("--yes", is_flag=True, help="Ask nothing; on AWS, what will be made is asked for else.")
@options.common
def up(
    environment: str | None,
    directory: Path,
    as_json: bool,
    dirty: bool,
    tarball: Path | None,
    over_freeze: str | None,
    app: str | None,
    yes: bool,
) -> None:
    """Bring the environment up.

    Starts the engine, builds the last commit, deploys it, prints the URL.

    Without a homeport.toml, one is written first. Does nothing where what is asked for runs already.
    """
    from homeport.cli.code import Asked

    _init_if_needed(directory, as_json=as_json, tarball=tarball)
    asked = Asked(
        directory=directory,
        environment=environment,
        app=app,
        dirty=dirty,
        tarball=tarball,
        over_freeze=over_freeze,
        why="up",
    )
    deploy_all(asked, as_json=as_json, yes=yes)


def deploy_all(asked: "Asked", *, as_json: bool, notice_new: bool = False, yes: bool = False) -> None:
    """Every app that is asked for runs; prints what became of it. `yes`: stacks of AWS may be changed unasked. Also
    called by `deploy`."""
    from homeport import daemon
    from homeport.cli import bring, hook, standing
    from homeport.cli.code import read_code
    from homeport.cli.follow import left
    from homeport.plan.route import in_order
    from homeport.wiring import storage

    if (where := remote.chosen()) is not None:
        from homeport.cli import environment_stacks

        environment_stacks.bring_up(asked, where, yes=yes, as_json=as_json)
    outcomes = []
    with output.Progress(quiet=as_json) as progress:
        catalogue = storage.catalogue(storage.store(storage.home()))
        hook.check(asked.directory, progress)
        codes = read_code(asked, progress.say)
        place.begin_engine()
        # Nothing is deployed before everything is built; and the engine takes as long to start as a build.
        releases = {each.app: bring.make_release(each, asked, progress, catalogue)[0] for each in codes}
        if remote.chosen() is None and not daemon.running(storage.home()):
            progress.waiting("waiting for the engine to start")
        api = place.begun_engine()
        up = {each.app: bring.running_if_up(catalogue, each.wanted.resolved.place.id, each.app) for each in codes}
        resolved = {app: release.resolved for app, release in up.items() if release is not None}
        for app in in_order([each.wanted.resolved for each in codes], resolved):
            code = next(each for each in codes if each.app == app.app)
            running, release = up[code.app], releases[code.app]
            if running is None and notice_new:
                progress.say(f"{code.app} isn't up in {code.environment} yet: this brings it up")
            if running is not None and (notice := bring.leaves_rollback(running, code.source)):
                progress.say(notice)
            if changes := running and standing.change_in_short(asked.directory, catalogue, running, release):
                progress.say(f"changes: {changes}")
            by = place.person(asked.directory)
            outcome = bring.bring(api, release, asked, by=by, progress=progress)
            outcomes.append(outcome)
            if not outcome.changed:
                commit = release.slug.commit[:10]
                anew = hint.completed("; in new instances: homeport deploy --force") if notice_new else ""
                progress.say(f"{outcome.app} {outcome.release} ({commit}) already runs in {outcome.environment}{anew}")
            elif outcome.verdict is None:
                progress.say(left(outcome))
            else:
                progress.say(f"{outcome.app} {outcome.release} is good")
        notes = [note for each in outcomes for note in each.notes]
        if asked.app is None and asked.tarball is None:
            notes += bring.left_behind(api, outcomes)
        for note in dict.fromkeys(notes):
            progress.say(f"note: {note}")
    if as_json:
        output.emit(outcomes[0] if len(outcomes) == 1 else {"apps": outcomes})
    else:
        print("\n".join(dict.fromkeys(url for each in outcomes for url in each.urls)))


def _init_if_needed(directory: Path, *, as_json: bool, tarball: Path | None) -> None:
    if tarball is not None or place.find_file(directory) is not None:
        return
    from homeport.cli.init import write

    written, lines = write(directory, app=None, force=False)
    if not as_json:
        for line in lines:
            print(line)
        print(f"wrote {place.shown(written)}: look at it, and commit it")
