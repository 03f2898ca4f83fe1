"""What a deploy would change, with nothing built, written or deployed. Called by `deploy --dry-run`."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from homeport.cli import difference, output, place, publish, standing
from homeport.cli.code import Asked, read_code
from homeport.cli.standing import Standing
from homeport.errors import CHANGES_EXIT_CODE
from homeport.model.release import Release, Slug
from homeport.plan.difference import Difference, Side, nothing_before
from homeport.plan.difference import difference as difference_of
from homeport.releases.catalogue import Catalogue
from homeport.releases.git import Apart
from homeport.releases.side import comparable, side_of
from homeport.wiring import storage


class Rehearsed(Struct, frozen=True, kw_only=True):
    """What would happen to one app. `release` None: one would be made. `previous`: what runs, or was the last good one;
    `running` None: nobody can know."""

    app: str
    environment: str
    running: bool | None
    previous: str | None
    before: str
    """That in words."""
    release: str | None
    commit: str
    changes: bool
    commits: Apart | None
    difference: Difference
    notes: tuple[str, ...]


def rehearse(asked: Asked, *, as_json: bool) -> int:
    """Prints what `deploy` would change; 10 where it would do something, else 0."""
    home = storage.home()
    catalogue = storage.catalogue(storage.store(home))
    found = []
    for code in read_code(asked):
        wanted = code.wanted
        stand = standing.stand(catalogue, wanted.resolved.place.id, code.app)
        release = None if asked.force else publish.fitting(wanted, catalogue)
        slug = Slug(
            layers=(),
            image="",
            commit=wanted.source.commit,
            dirty=wanted.source.dirty,
            subject=wanted.source.subject,
            platform_file=wanted.platform_file,
        )
        variables = publish.snapshot(wanted.config, catalogue, wanted.resolved)
        config = comparable(variables, storage.encryption(home))
        unbuilt = Side(resolved=wanted.resolved, slug=slug, config=config, sizes=stand.sizes)
        notices = (*code.notices, *wanted.notices)
        found.append(_rehearsed(asked.directory, catalogue, stand, release or unbuilt, code.app, notices))
    return _tell(found, as_json=as_json)


def rehearse_existing(directory: Path, environment: str | None, app: str | None, name: str, *, as_json: bool) -> int:
    """As `rehearse`, for `deploy --release`."""
    where = place.stored_environment(directory, environment)
    app = place.app_name(directory, where, app)
    catalogue = storage.catalogue(storage.store(storage.home()))
    release = catalogue.get(app, where.partition("/")[2], name)
    stand = standing.stand(catalogue, where, app)
    return _tell([_rehearsed(directory, catalogue, stand, release, app, ())], as_json=as_json)


def _rehearsed(
    directory: Path, catalogue: Catalogue, stand: Standing, new: Release | Side, app: str, notes: tuple[str, ...]
) -> Rehearsed:
    encryption = storage.encryption(storage.home())
    release = new if isinstance(new, Release) else None
    after = new if isinstance(new, Side) else side_of(new, catalogue.store, encryption, sizes=stand.sizes)
    before = standing.compared(stand, catalogue, encryption)
    previous = stand.release.id if stand.release else None
    apart = None
    if stand.release is not None:
        apart = standing.commits(directory, app, stand.release.slug.commit, after.slug.commit)
    return Rehearsed(
        app=app,
        environment=stand.environment,
        running=stand.running,
        previous=previous,
        before=stand.in_words(),
        release=release.id if release else None,
        commit=after.slug.commit,
        changes=release is None or release.id != previous or stand.running is False,
        commits=apart,
        difference=difference_of(before or nothing_before(after), after),
        notes=(*notes, *stand.unknown),
    )


def _tell(found: list[Rehearsed], *, as_json: bool) -> int:
    if as_json:
        document: Any = found[0] if len(found) == 1 else {"apps": found}
        output.emit(document)
    else:
        for each in found:
            _show(each)
    return CHANGES_EXIT_CODE if any(each.changes for each in found) else 0


def _show(found: Rehearsed) -> None:
    if not found.changes:
        print(f"{found.app} {found.release} is what {found.environment} has: nothing would change")
    else:
        what = found.release or f"a new release of {found.commit[:10]}"
        print(f"{found.app}: {what} would be deployed to {found.environment}, {found.before}")
        first = found.previous is None
        difference.show(found.difference, found.commits, built=found.release is not None, first=first)
    for note in found.notes:
        output.line(f"note: {note}")
