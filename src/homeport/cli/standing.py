"""Where an app stands in an environment: what it runs, by the engine, else what the store knows; and how far commits
are apart. Called by `promote`, `status --diff`, `rollback`, `up` and `deploy`.
"""

from pathlib import Path

from msgspec import Struct

from homeport.cli import place
from homeport.cli.difference import in_short
from homeport.console.views import GroupView
from homeport.errors import HomeportError, NotFound, Unavailable
from homeport.model.release import Release
from homeport.plan.difference import Side, difference
from homeport.plan.release import parse_number
from homeport.ports.encryption import Encryption
from homeport.releases.catalogue import Catalogue
from homeport.releases.git import Apart, apart
from homeport.releases.mirror import copy_of
from homeport.releases.side import side_of


class Standing(Struct, frozen=True, kw_only=True):
    """`release` None: nothing was ever good there. `running` False: it doesn't run, None: nobody can know; then it is
    the last good one by the store, and nothing is known of groups. `unknown`: sentences about what wasn't found out."""

    environment: str
    release: Release | None
    running: bool | None
    groups: tuple[GroupView, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Group → what `homeport scale` asked for."""
        return {each.name: each.scaled for each in self.groups if each.scaled is not None}

    def in_words(self) -> str:
        if self.release is None:
            return "where nothing was good yet"
        return f"which runs {self.release.id}" if self.running else f"where {self.release.id} was the last good one"

    @property
    def name(self) -> str:
        """Of the environment, without its platform."""
        return self.environment.partition("/")[2]


def stand(catalogue: Catalogue, where: str, app: str) -> Standing:
    """What the app runs in `<platform>/<environment>`. Raises as the store does."""
    running: bool | None = False
    try:
        found = place.client().status(where)
    except Unavailable as error:
        running = None
        said = f"{error.message}: nobody knows what {where} runs, how it is scaled, and whether it is well"
    except NotFound:
        said = f"{where} isn't up"
    else:
        view = next((each for each in found.apps if each.app == app and each.release), None)
        if view is not None and view.release is not None:
            release = catalogue.get(app, where.partition("/")[2], parse_number(view.release))
            return Standing(environment=where, release=release, running=True, groups=view.groups)
        said = f"{app} runs nothing in {where}"
    kept = catalogue.current(app, where.partition("/")[2])
    if kept is not None and kept.resolved.place.id != where:
        kept = None  # of another platform with an app of this name
    if kept is not None:
        said += f"; compared is {kept.id}, its last good release"
    elif running is False:
        return Standing(environment=where, release=None, running=False)
    return Standing(environment=where, release=kept, running=running, unknown=(said,))


def compared(standing: Standing, catalogue: Catalogue, encryption: Encryption) -> Side | None:
    """None where there is no release."""
    if standing.release is None:
        return None
    return side_of(standing.release, catalogue.store, encryption, sizes=standing.sizes)


def change_in_short(directory: Path, catalogue: Catalogue, old: Release, new: Release) -> str | None:
    """What a deployment from the one to the other changes, on one line; None where they are one release, or that can't
    be found out."""
    if (old.environment, old.number) == (new.environment, new.number):
        return None
    from homeport.wiring import storage

    encryption = storage.encryption(storage.home())
    try:
        found = difference(side_of(old, catalogue.store, encryption), side_of(new, catalogue.store, encryption))
    except HomeportError:
        return None  # a nicety, of which no deployment fails
    return in_short(found, commits(directory, new.app, old.slug.commit, new.slug.commit))


def commits(directory: Path, app: str, old: str, new: str) -> Apart | None:
    """How far the commits are apart by the app's repository; None where it isn't at hand or lacks one of them."""
    root = repository(directory, app)
    if root is None or old == new:
        return None
    try:
        return apart(root, old, new)
    except HomeportError:
        return None  # no git


def repository(directory: Path, app: str) -> Path | None:
    """The git repository of the app: the directory that the platform file here names, else the copy of the one
    elsewhere; None without a platform file. It may not be there."""
    try:
        path, platform = place.find_file(directory), place.platform_here(directory)
    except HomeportError:
        return None  # a file with a mistake: nothing that is asked for depends on it
    if path is None or platform is None:
        return None
    entry = next((each for each in platform.apps if each.name == app), None)
    if entry is None:
        return None
    return copy_of(place.home().sources, entry.source) if entry.remote else path.parent / entry.source
