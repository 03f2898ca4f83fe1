"""From what the command line says to the code of each app and what it shall be. Called by `up`, `deploy`, `release
create` and `config`.

The platform file that counts is the one that is found from the directory upwards: as its last commit has it, with
--dirty as it lies there. Another app's repository needs none, and one that it has doesn't count.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from homeport.cli import place, publish
from homeport.errors import Conflict, Invalid, NotFound
from homeport.model.platform import Amount
from homeport.plan import platform, platform_name
from homeport.plan.mistake import instead
from homeport.plan.platform import AppEntry, PlatformFile
from homeport.plan.route import Holder, clash
from homeport.releases.source import (
    Source,
    committed_text,
    from_tarball,
    in_repository,
    open_source,
    open_url,
    read_files,
)


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line says. `environment` None: the platform's own choice; `app` None: all. `force`: a new
    release even where nothing has changed."""

    directory: Path
    environment: str | None = None
    app: str | None = None
    dirty: bool = False
    tarball: Path | None = None
    force: bool = False
    pause_after: Amount | None = None
    over_freeze: str | None = None
    """Why a freeze doesn't count; None: it does."""
    detach: bool = False
    """Only until the deployment has begun."""
    why: str = "deploy"


class Code(Struct, frozen=True, kw_only=True):
    """One app's source, and what it shall be."""

    app: str
    environment: str
    platform: str
    source: Source
    wanted: publish.Wanted
    notices: tuple[str, ...] = ()


class _File(Struct, frozen=True, kw_only=True):
    """A platform file that was found. `root`: what sources are relative to."""

    text: str
    root: Path
    notices: tuple[str, ...] = ()
    changed: bool = False
    """It has changes that aren't committed, and aren't in `text`."""


def read_code(asked: Asked, say: Callable[[str], None] = lambda _: None) -> list[Code]:
    """Of every app that is asked for; git repositories elsewhere are fetched, which `say` is told. Raises `Invalid`,
    `NotFound`, `Conflict` where two of them ask for one route, `Unavailable`."""
    if asked.tarball is not None:
        return [_of_tarball(asked, asked.tarball)]
    path = place.find_file(asked.directory)
    if path is None:
        raise Invalid(f"no {publish.FILE} in {asked.directory.resolve()}", hint="homeport init")
    file = _file(path, dirty=asked.dirty)
    found = platform.parse(file.text)
    environment = _environment(asked, found, file)
    codes: list[Code] = []
    for entry in _entries(asked, found):
        source = source_of(entry, file.root, dirty=asked.dirty, say=say)
        notices = (*file.notices, *source.notices) if not codes else source.notices
        codes.append(_code(found, environment, entry.name, source, file.text, notices))
    for code in codes:
        others = [Holder(release="its newest code", resolved=each.wanted.resolved) for each in codes]
        if (found_clash := clash(code.wanted.resolved, others)) is not None:
            raise Conflict(
                f"{code.app} and {found_clash.other.resolved.app} ask for the same route: {found_clash.text}",
                hint=f'say in {publish.FILE} who gets what: [[routes]] path = "/{code.app}" to = "{code.app}/web"',
            )
    return codes


def source_of(entry: AppEntry, root: Path, *, dirty: bool, say: Callable[[str], None] = lambda _: None) -> Source:
    """The newest code of an app whose platform file lies in `root`. Raises as `open_source` and `open_url`."""
    if not entry.remote:
        if not (root / entry.source).is_dir():
            raise NotFound(
                f"the source of {entry.name} isn't there: {place.shown(root / entry.source)}; did it move?",
                hint=f'[apps.{entry.name}] source = "…" in {publish.FILE} says where it is now; what runs goes on',
            )
        return open_source(root / entry.source, dirty=dirty)
    say(f"fetching {entry.source}")
    return open_url(entry.source, entry.ref, place.home().sources)


def _file(path: Path, *, dirty: bool) -> _File:
    lying = place.read(path)
    if dirty or not in_repository(path.resolve().parent):
        return _File(text=lying, root=path.parent)
    committed = committed_text(path)
    if committed is None:
        notice = f"{publish.FILE} isn't committed yet: taken as it lies there; other such changes are left out"
        return _File(text=lying, root=path.parent, notices=(notice,))
    return _File(text=committed, root=path.parent, changed=committed != lying)


def _environment(asked: Asked, found: PlatformFile, file: _File) -> str:
    try:
        return platform_name.environment_name(found, _own(asked.environment, found.name))
    except NotFound as error:
        if not file.changed:
            raise
        hint = f"git commit {publish.FILE}   # it has changes that aren't committed; or --dirty"
        raise NotFound(error.message, hint=hint) from error


def _entries(asked: Asked, found: PlatformFile) -> list[AppEntry]:
    names = [each.name for each in found.apps]
    if asked.app is not None and asked.app not in names:
        raise NotFound(f"no app {asked.app!r} in {publish.FILE}{instead(asked.app, names)}")
    entries = [each for each in found.apps if asked.app in (None, each.name)]
    if asked.dirty and all(each.remote for each in entries):
        raise Invalid(f"{entries[0].name} has no work tree here: its source is {entries[0].source}")
    return entries


def _of_tarball(asked: Asked, tarball: Path) -> Code:
    """An app of the platform here where that has several, else what the archive itself says."""
    source = from_tarball(tarball)
    path = place.find_file(asked.directory)
    file = None if path is None else _file(path, dirty=False)
    here = None if file is None else platform.parse(file.text)
    if file is not None and here is not None and len(here.apps) > 1:
        if asked.app is None:
            names = [each.name for each in here.apps]
            raise Invalid(f"{tarball} is one of {len(names)} apps: {', '.join(names)}", hint=f"--app {names[0]}")
        (entry,) = _entries(asked, here)
        return _code(here, _environment(asked, here, file), entry.name, source, file.text, file.notices)
    text = read_files(source, (publish.FILE,)).get(publish.FILE)
    if text is None:
        raise Invalid(f"no {publish.FILE} in {tarball}", hint="homeport init")
    found = platform.parse(text)
    if len(found.apps) > 1:
        raise Invalid(
            f"{tarball} holds a platform of {len(found.apps)} apps, expected the code of one",
            hint="unpack it into a git repository; or --from beside the platform's file, with --app",
        )
    (entry,) = _entries(asked, found)
    return _code(found, _environment(asked, found, _File(text=text, root=Path())), entry.name, source, text, ())


def _code(found: PlatformFile, environment: str, app: str, source: Source, text: str, notices: tuple[str, ...]) -> Code:
    wanted = publish.read_wanted(source, app=app, environment=environment, text=text)
    return Code(app=app, environment=environment, platform=found.name, source=source, wanted=wanted, notices=notices)


def _own(asked: str | None, name: str) -> str | None:
    """`staging` of `shop/staging`. Raises `Invalid` for another platform than the one here."""
    if asked is None or "/" not in asked:
        return asked
    stated, _, environment = asked.partition("/")
    if stated != name:
        raise Invalid(f"the platform here is {name}, asked for {asked}", hint=f"-e {environment}, or -C <directory>")
    return environment
