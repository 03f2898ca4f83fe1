"""What `up` and `deploy` share: from a directory to releases that run. Called by them, `rollback` and `config`."""

from pathlib import Path

from msgspec import Struct

from homeport.cli import follow, place, publish
from homeport.cli.client import Client
from homeport.cli.follow import Outcome
from homeport.cli.output import Progress
from homeport.errors import HomeportError, Invalid, NotFound, Unavailable
from homeport.model.release import Release
from homeport.plan import platform
from homeport.plan.release import parse_number
from homeport.releases.catalogue import Catalogue
from homeport.releases.source import Source, from_tarball, open_source, read_files, tag_release
from homeport.system.clock import SystemClock


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line says. `force`: a new release even where nothing has changed."""

    directory: Path
    environment: str | None = None
    app: str | None = None
    dirty: bool = False
    tarball: Path | None = None
    force: bool = False
    why: str = "deploy"


class Code(Struct, frozen=True, kw_only=True):
    """One app's source, and the platform file that lies in its directory (None: only in the source)."""

    app: str
    environment: str
    platform: str
    source: Source
    text: str | None


def read_code(asked: Asked) -> list[Code]:
    """Of every app that is asked for. Raises `Invalid`, `NotFound`."""
    if asked.tarball is not None:
        source = from_tarball(asked.tarball)
        text = read_files(source, (publish.FILE,)).get(publish.FILE)
        return _codes(asked, text, root=None, source=source)
    path = place.find_file(asked.directory)
    text = None if path is None else place.read(path)
    return _codes(asked, text, root=asked.directory if path is None else path.parent, source=None)


def _codes(asked: Asked, text: str | None, *, root: Path | None, source: Source | None) -> list[Code]:
    if text is None:
        where = asked.tarball or asked.directory.resolve()
        raise Invalid(f"no {publish.FILE} in {where}", hint="homeport init")
    found = platform.parse(text)
    environment = platform.environment_name(found, _own(asked.environment, found.name))
    entries = [each for each in found.apps if asked.app in (None, each.name)]
    if not entries:
        names = ", ".join(each.name for each in found.apps)
        raise NotFound(f"no app {asked.app!r} in {publish.FILE}; there is {names}")
    codes = []
    for entry in entries:
        code = source
        if code is None:
            if "://" in entry.source:
                raise Invalid(f"the source of {entry.name} is {entry.source}: clone it, and name the directory")
            assert root is not None
            code = open_source(root / entry.source, dirty=asked.dirty)
        codes.append(Code(app=entry.name, environment=environment, platform=found.name, source=code, text=text))
    return codes


def _own(asked: str | None, name: str) -> str | None:
    """`staging` of `shop/staging`. Raises `Invalid` for another platform than the one here."""
    if asked is None or "/" not in asked:
        return asked
    stated, _, environment = asked.partition("/")
    if stated != name:
        raise Invalid(f"the platform here is {name}, asked for {asked}", hint=f"-e {environment}, or -C <directory>")
    return environment


def make_release(code: Code, asked: Asked, progress: Progress, catalogue: Catalogue) -> tuple[Release, bool]:
    """The release that is exactly what is asked for, and whether it was made just now."""
    from homeport import wiring

    wanted = publish.read_wanted(code.source, app=code.app, environment=code.environment, text=code.text)
    for notice in wanted.notices:
        progress.say(f"note: {notice}")
    release = None if asked.force else publish.fitting(wanted, catalogue)
    if release is not None:
        # Once more, for a command that was killed before it came to that.
        tag_release(wanted.source, release.app, release.environment, release.number)
        return release, False
    home = wiring.home()
    what = "the work tree" if wanted.source.dirty else f"{wanted.source.commit[:10]} {wanted.source.subject}"
    progress.say(f"building {code.app} from {what}")
    by = place.person(asked.directory)
    now = SystemClock().now()

    def say(line: str) -> None:
        progress.say(f"  {line}")

    def heard(line: str) -> None:
        progress.passing(f"    {line}")

    builder = wiring.builder(home, catalogue.store)
    release = publish.create(wanted, builder, catalogue, by=by, why=asked.why, now=now, say=say, output=heard)
    progress.say(f"released {release.id} of {release.app}")
    return release, True


def leaves_rollback(running: Release, source: Source) -> str | None:
    """A sentence for whoever might not expect it: what runs was rolled back to, and this goes forward again. None:
    that isn't so."""
    if running.origin == running.number or running.slug.commit == source.commit:
        return None
    was = f"{running.app} runs {running.id}, rolled back to r{running.origin} ({running.slug.commit[:10]})"
    return f"{was}; now comes what is newest: {source.commit[:10]} {source.subject}"


def bring(api: Client, release: Release, *, by: str, why: str, progress: Progress, restart: bool = False) -> Outcome:
    """The release runs in its environment. `restart`: in new instances only. Raises `Failed` with the evidence,
    `Conflict` where another deployment goes on."""
    environment = release.resolved.place.id
    if launched(api, environment, release.app) == release.id and not _going_on(api, environment, release.app):
        return _outcome(api, release, None, "good", changed=False)
    number = api.deploy(environment, app=release.app, release=release.number, by=by, why=why, restart=restart)
    ended = follow.follow(api, environment, release.app, number, progress)
    progress.clear()
    follow.verdict(ended, app=release.app, release=release.id, number=number, environment=environment)
    return _outcome(api, release, number, ended.verdict.value, changed=True)


def launched(api: Client, environment: str, app: str) -> str | None:
    """The release that new instances get, as "r3"; None: the app, or the environment, isn't up."""
    try:
        found = api.status(environment)
    except NotFound:
        return None
    return next((each.release for each in found.apps if each.app == app), None)


def running_release(api: Client, catalogue: Catalogue, environment: str, app: str) -> Release:
    """The release that new instances get. Raises `NotFound`."""
    name = launched(api, environment, app)
    if name is None:
        raise NotFound(f"{app} isn't up in {environment}", hint="homeport up")
    return catalogue.get(app, environment.partition("/")[2], parse_number(name))


def running_if_up(catalogue: Catalogue, environment: str, app: str) -> Release | None:
    """As `running_release`; None where the engine or the environment isn't up."""
    try:
        return running_release(place.client(), catalogue, environment, app)
    except (NotFound, Unavailable):
        return None


def _going_on(api: Client, environment: str, app: str) -> bool:
    found = next((each for each in api.status(environment).apps if each.app == app), None)
    return found is not None and found.deployment is not None and not found.deployment.verdict


def _outcome(api: Client, release: Release, number: int | None, said: str, *, changed: bool) -> Outcome:
    environment = release.resolved.place.id
    try:
        urls = api.status(environment).urls
    except HomeportError:
        urls = ()
    return Outcome(
        environment=environment,
        urls=urls,
        app=release.app,
        release=release.id,
        deployment=number,
        verdict=said,
        changed=changed,
    )
