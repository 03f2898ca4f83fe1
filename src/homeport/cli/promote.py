"""`homeport promote`: what was good in one environment, byte for byte in another."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from homeport.cli import candidates, freeze, hook, options, output, place
from homeport.errors import CHANGES_EXIT_CODE, Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from homeport.cli.publish import Promotion
    from homeport.cli.standing import Standing
    from homeport.model.release import Release
    from homeport.releases.catalogue import Catalogue
    from homeport.releases.git import Apart


@click.command(
    epilog=options.example(
        "homeport promote staging production",
        "homeport promote staging production --dry-run",
        'homeport promote staging production --release r12 --yes --why "sale"',
        codes={6: "it isn't good in TO; what ran there before runs again", 10: "with --dry-run: something changes"},
        see="status, config diff, rollback",
    )
)
@click.argument("source", metavar="FROM", shell_complete=candidates.environments)
@click.argument("target", metavar="TO", shell_complete=candidates.environments)
@click.option(
    "--release",
    "release_name",
    metavar="rN",
    shell_complete=candidates.releases,
    help="A release of FROM. Default: the last good one there.",
)
@click.option("--force", is_flag=True, help="Take the --release even though it has no good verdict in FROM.")
@click.option("--why", metavar="TEXT", help="Kept with the release.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@options.over_freeze
@click.option("--dry-run", is_flag=True, help="Only show what changes; exit code 10 if something does.")
@options.app
@options.directory
@options.as_json
def promote(
    source: str,
    target: str,
    release_name: str | None,
    force: bool,
    why: str | None,
    yes: bool,
    dry_run: bool,
    over_freeze: str | None,
    app: str | None,
    directory: Path,
    as_json: bool,
) -> int:
    """Deploy to one environment what is good in another.

    Nothing is built: TO gets the very layers of FROM, with the groups, routes and settings that the platform file they
    were released with has for TO, and TO's own config. What changes is shown first.
    """
    wanted = _Wanted(directory, source, target, app, release_name, force=force, dry_run=dry_run)
    if not as_json:
        wanted.show()
    if not wanted.changes:
        return _nothing_to_do(wanted, as_json=as_json)
    if dry_run:
        if as_json:
            output.emit(wanted.document())
        return CHANGES_EXIT_CODE
    freeze.check(wanted.catalogue.store, wanted.target, over_freeze)
    hook.check(directory, output.Progress(quiet=as_json))
    _confirm(wanted, yes=yes, as_json=as_json)
    _carry_out(wanted, why=why, over_freeze=over_freeze, as_json=as_json)
    return 0


class _Wanted:
    """What was asked for, and what it changes; nothing is written."""

    def __init__(
        self,
        directory: Path,
        source: str,
        target: str,
        app: str | None,
        release_name: str | None,
        *,
        force: bool,
        dry_run: bool,
    ) -> None:
        from homeport.cli import publish, standing
        from homeport.plan.difference import Difference, Side, difference, nothing_before
        from homeport.releases.side import comparable
        from homeport.wiring import storage

        self.directory = directory
        self.source, self.target = _places(directory, source, target)
        _check_one_store(directory, self.source, self.target)
        place.choose(directory, self.target)
        home = storage.home()
        self.app = place.app_name(directory, self.source, app)
        self.typed_app = "" if app is None else f" --app {app}"
        self.catalogue: Catalogue = storage.catalogue(storage.store(home))
        self.release = _release(self.catalogue, self.source, self.app, release_name, force=force)
        name = self.target.partition("/")[2]
        self.promotion: Promotion = publish.promotion(self.release, name, self.catalogue)
        if not dry_run:
            place.running_engine()  # what runs decides whether there is anything to do
        self.standing: Standing = standing.stand(self.catalogue, self.target, self.app)
        encryption = storage.encryption(home)
        before = standing.compared(self.standing, self.catalogue, encryption)
        self.after = Side(
            resolved=self.promotion.resolved,
            slug=self.release.slug,
            config=comparable(self.promotion.variables, encryption),
            sizes=self.standing.sizes,
        )
        self.difference: Difference = difference(before or nothing_before(self.after), self.after)
        self.apart: Apart | None = None
        if self.standing.release is not None:
            old, new = self.standing.release.slug.commit, self.release.slug.commit
            self.apart = standing.commits(directory, self.app, old, new)

    @property
    def changes(self) -> bool:
        return bool(self.difference) or self.standing.running is False

    def notes(self) -> list[str]:
        """What a person should know before they say yes."""
        lacking = _keys(self.catalogue, self.release) - {
            key for values in self.promotion.variables.groups.values() for key in values
        }
        source, target = self.source.partition("/")[2], self.standing.name
        found = list(self.promotion.notices)
        if self.release.slug.dirty:
            found.append(f"{self.release.id} was built with changes that were never committed")
        if lacking:
            hint = f"homeport config set -e {target}{self.typed_app} …"
            found.append(f"{source} has {', '.join(sorted(lacking))}; {target} will not: {hint}")
        values = [(key, each) for group in self.after.config.values() for key, each in group.items()]
        if unreadable := sorted({key for key, each in values if not each.readable}):
            what = ", ".join(unreadable)
            found.append(f"{what} can't be decrypted with this home's identity: set anew in {target}, or bring it back")
        return [*found, *self.standing.unknown]

    def title(self) -> str:
        release = self.release
        what = f"{release.slug.commit[:10]} {release.slug.subject}".rstrip()
        return output.printable(
            f"{self.app} {release.id} of {self.source} ({what}) to {self.target}, {self.standing.in_words()}"
        )

    def show(self) -> None:
        from homeport.cli import difference

        output.line(self.title())
        if self.changes:
            difference.show(self.difference, self.apart, first=self.standing.release is None)
        for note in self.notes() if self.changes else self.standing.unknown:
            output.line(f"note: {note}")

    def document(self) -> dict[str, Any]:
        now = self.standing.release
        return {
            "app": self.app,
            "source": {"environment": self.source, "release": self.release.id, "commit": self.release.slug.commit},
            "target": {
                "environment": self.target,
                "release": now.id if now else None,
                "commit": now.slug.commit if now else None,
                "running": self.standing.running,
            },
            "changes": self.changes,
            "commits": self.apart,
            "difference": self.difference,
            "notes": self.notes(),
        }


def _check_one_store(directory: Path, source: str, target: str) -> None:
    """Nothing, where both environments have their releases in one store. Raises `Invalid`."""
    from homeport.plan.platform import place_of

    try:
        platform = place.platform_here(directory)
    except Invalid:
        return  # what is promoted is what was released, whatever the file says by now
    if platform is None:
        return
    names = [each.partition("/")[2] for each in (source, target)]
    stores = {
        None if found.aws is None else (found.aws.account, found.aws.region)
        for found in (place_of(platform, each) for each in names if each in platform.environments)
    }
    if len(stores) > 1:
        raise Invalid(
            f"{names[0]} and {names[1]} have their releases in two stores: nothing can be promoted between them yet",
            hint=f"homeport deploy -e {names[1]}   # builds the last commit for it",
        )


def _places(directory: Path, source: str, target: str) -> tuple[str, str]:
    """`<platform>/<environment>` of both. Raises `Invalid` where that makes no promotion."""
    here = place.names_here(directory)
    for each in (source, target):
        if here is not None and each in here.apps and each not in here.environments:
            raise Invalid(
                f"{each} is an app; a release is promoted from one environment of it to another",
                hint=f"homeport promote FROM TO --app {each}   # of {', '.join(here.environments)}",
            )
    found = place.stored_environment(directory, source), place.stored_environment(directory, target)
    platforms = [each.partition("/")[0] for each in found]
    if platforms[0] != platforms[1]:
        raise Invalid(
            f"{found[0]} and {found[1]} are of two platforms; a release is promoted within one",
            hint="homeport deploy   # in the repository of the other platform",
        )
    if found[0] == found[1]:
        raise Invalid(f"both are {found[0]}", hint="homeport promote staging production")
    return found


def _release(catalogue: "Catalogue", where: str, app: str, name: str | None, *, force: bool) -> "Release":
    environment = where.partition("/")[2]
    if name is None:
        if force:
            raise Invalid("--force goes with --release: without it, the last good release is taken")
        found = catalogue.current(app, environment)
        if found is None:
            raise NotFound(f"{app} has no good release in {where}", hint=f"homeport deploy -e {environment}")
    else:
        found = catalogue.get(app, environment, name)
        good = catalogue.good(app, environment)
        if found.number not in good and not force:
            there = ", ".join(f"r{each}" for each in sorted(good)[-5:]) or "none"
            raise Invalid(
                f"{app} {found.id} has no good verdict in {where}; those that have: {there}",
                hint=f"homeport deploy --release {found.id} -e {environment}, or promote … --force",
            )
    if found.resolved.place.id != where:
        raise Invalid(
            f"{app} {found.id} in {environment} is of the platform {found.resolved.place.platform}, "
            f"asked for one of {where.partition('/')[0]}",
            hint=f"homeport promote {found.resolved.place.id} …",
        )
    return found


def _keys(catalogue: "Catalogue", release: "Release") -> set[str]:
    from homeport.releases.publish import read_snapshot

    snapshot = read_snapshot(catalogue.store, release.app, release.environment, release.config)
    return {key for values in snapshot.groups.values() for key in values}


def _nothing_to_do(wanted: _Wanted, *, as_json: bool) -> int:
    if as_json:
        output.emit(wanted.document())
    else:
        release = wanted.standing.release
        assert release is not None
        what = "runs" if wanted.standing.running else "has"
        print(f"{wanted.target} {what} the same already, as {release.id}: nothing to do")
    return 0


def _confirm(wanted: _Wanted, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        from homeport.cli import difference

        source = wanted.source.partition("/")[2]
        plan = [f"{section}: {text}" for section, text in difference.lines(wanted.difference, wanted.apart)]
        raise Invalid(
            f"promote changes {wanted.target}, and nobody is here to confirm it",
            hint=f"homeport promote {source} {wanted.standing.name}{wanted.typed_app} "
            f"--release {wanted.release.id} --yes",
            details=(wanted.title(), *plan, *wanted.notes()) if as_json else (),
        )
    click.confirm(f"Deploy this to {wanted.target}?", abort=True)


def _carry_out(wanted: _Wanted, *, why: str | None, over_freeze: str | None, as_json: bool) -> None:
    from msgspec import to_builtins

    from homeport.cli import bring, publish
    from homeport.cli.code import Asked
    from homeport.system.clock import SystemClock

    by = place.person(wanted.directory)
    said = f"promote {wanted.source.partition('/')[2]} {wanted.release.id}{f': {why}' if why else ''}"
    api = place.running_engine()
    now, shown = bring.running_if_up(wanted.catalogue, wanted.target, wanted.app), wanted.standing
    if (now and now.id) != (shown.release.id if shown.running and shown.release else None):
        raise Conflict(
            f"{wanted.target} has changed since this was shown: it runs {now.id if now else 'nothing'}",
            hint=f"homeport promote {wanted.source.partition('/')[2]} {shown.name}{wanted.typed_app}   # shows it anew",
        )
    release, new = publish.promote(wanted.promotion, wanted.catalogue, by=by, why=said, now=SystemClock().now())
    with output.Progress(quiet=as_json) as progress:
        if new:
            progress.say(f"released {release.id} of {release.app} for {shown.name}")
        if notice := _tag(wanted, release):
            progress.say(f"note: {notice}")
        asked = Asked(directory=wanted.directory, why=said, over_freeze=over_freeze)
        outcome = bring.bring(api, release, asked, by=by, progress=progress)
        for note in outcome.notes:
            progress.say(f"note: {note}")
    if as_json:
        output.emit({**wanted.document(), **to_builtins(outcome)})
        return
    print(f"{outcome.app} {outcome.release} is good in {outcome.environment}")
    print("\n".join(outcome.urls))


def _tag(wanted: _Wanted, release: "Release") -> str | None:
    """As a deploy does, where the repository is at hand and has the commit; else None."""
    from msgspec.structs import replace

    from homeport.cli.standing import repository
    from homeport.errors import HomeportError
    from homeport.releases import git
    from homeport.releases.source import open_source, tag_release

    root = repository(wanted.directory, wanted.app)
    if root is None or release.slug.dirty:
        return None
    try:
        commit = git.commit_of(root, release.slug.commit).sha
        found = replace(open_source(root), commit=commit, uncommitted=False)
    except HomeportError:
        return None
    return tag_release(found, release.app, release.environment, release.number, alone=wanted.promotion.alone)
