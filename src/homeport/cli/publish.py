"""From what was asked for to a published release: reads the source's own files, composes the config snapshot, builds if
nothing fits yet, publishes. Called by `up`, `deploy`, `rollback`, `promote`, `release create` and `config`; prints
nothing.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from homeport.errors import Invalid, NotFound
from homeport.model.platform import Resolved
from homeport.model.release import ConfigValue, Release, Slug, Snapshot
from homeport.plan import detect, platform, procfile
from homeport.plan.config import effective, ignored_files, repository_layers
from homeport.plan.maintenance import check_page
from homeport.plan.release import layer_key
from homeport.plan.static import Static, with_web
from homeport.ports.objects import ObjectStore
from homeport.releases.archive import open_archive, verify
from homeport.releases.build import Builder, Serving
from homeport.releases.catalogue import Catalogue
from homeport.releases.publish import (
    encode,
    keep_platform_file,
    publish,
    publish_snapshot,
    read_platform_file,
    read_snapshot,
)
from homeport.releases.source import Source, read_files, tag_release

FILE = "homeport.toml"
LARGEST_CONFIG_BYTES = 1_000_000
Say = Callable[[str], None]


class Wanted(Struct, frozen=True, kw_only=True):
    """What a source says it shall be in one environment. `config`: path → content of its `config/` files."""

    source: Source
    build: platform.Build
    serving: Serving
    text: str
    """Of the homeport.toml."""
    resolved: Resolved
    config: dict[str, bytes]
    notices: tuple[str, ...] = ()
    alone: bool = True
    """The platform has no other app."""

    @property
    def platform_file(self) -> str:
        """sha256 of the homeport.toml."""
        return hashlib.sha256(_bytes(self.text)).hexdigest()

    @property
    def app(self) -> str:
        return self.resolved.app

    @property
    def environment(self) -> str:
        return self.resolved.place.name


def read_wanted(source: Source, *, app: str, environment: str, text: str) -> Wanted:
    """`text`: the platform file to go by. Raises `Invalid`, `NotFound`."""
    files = read_files(source, (FILE, "Procfile", "config/*"))
    described = platform.parse(text)
    alone = len(described.apps) == 1
    notices = []
    if source.uncommitted and not source.dirty and (FILE in files or not alone):
        whose = "the work tree" if alone else f"the work tree of {app}"
        notices.append(f"{whose} has changes that aren't committed: not part of this release (--dirty takes them)")
    if FILE in files and not alone and files[FILE] != text:
        notices.append(f"the {FILE} of {app} doesn't count here: the one of {described.name} does")
    processes, serving = _processes(source, files.get("Procfile"), platform.static_of(described, app))
    unused = platform.unused_processes(described, processes, app)
    notices += [f"no group runs the process type {each}" for each in unused]
    resolved = platform.resolve(described, environment=environment, app=app, procfile=processes)
    if resolved.maintenance.page is not None:
        page = read_files(source, (resolved.maintenance.page,)).get(resolved.maintenance.page)
        check_page(resolved.maintenance.page, None if page is None else _bytes(page))
    config = {path: _bytes(content) for path, content in files.items() if path.startswith("config/")}
    notices += ignored_files(config, groups={environment: [group.name for group in resolved.groups]})
    return Wanted(
        source=source,
        build=platform.build_of(described, app),
        serving=serving,
        text=text,
        resolved=resolved,
        config=config,
        notices=tuple(notices),
        alone=alone,
    )


def _processes(source: Source, text: str | None, said: Static | None) -> tuple[procfile.Procfile, Serving]:
    """What runs, and what of it is nginx: by the Procfile and [static], else by what the code says."""
    declared = procfile.parse(text) if text is not None else None
    if said is not None:
        alone = declared is None or not (declared.processes or declared.release)
        return with_web(declared), Serving(static=said, alone=alone)
    if declared is not None:
        return declared, Serving()
    found = detect.detect(read_files(source, detect.WANTED))
    if not found.procfile:
        raise Invalid(
            f"{source.shown} has no Procfile, and it isn't certain how to serve it",
            hint=detect.procfile_hint(found),
            details=found.notices,
        )
    serving = Serving(static=found.static, alone=found.static is not None)
    return procfile.Procfile(processes=found.procfile), serving


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


# --- config -----------------------------------------------------------------------------------------------------------


def snapshot(files: Mapping[str, bytes], catalogue: Catalogue, resolved: Resolved) -> Snapshot:
    """The variables of every group: what `config/` says below what `config set` says. Secrets stay ciphertext. Raises
    `Invalid`."""
    app, environment = resolved.app, resolved.place.name
    groups: dict[str, dict[str, ConfigValue]] = {}
    for group in resolved.groups:
        layers = [
            *repository_layers(files, environment=environment, group=group.name),
            *catalogue.config_layers(app, environment, group.name),
        ]
        groups[group.name] = effective(layers)
        for key, value in groups[group.name].items():
            check_storable(key, value)
    return Snapshot(groups=groups)


def check_storable(key: str, value: ConfigValue) -> None:
    """Raises `Invalid` for a value that is no UTF-8: only a secret's ciphertext carries any bytes."""
    try:
        value.text.encode("utf-8")
    except UnicodeEncodeError as error:
        where = f" ({value.layer})" if value.layer else ""
        raise Invalid(
            f"the value of {key}{where} isn't UTF-8, which only a secret may be",
            hint=f"homeport config set --secret --from-stdin {key} < file",
        ) from error


def files_of_release(store: ObjectStore, release: Release) -> dict[str, bytes]:
    """The `config/` files that were built into a release, from its source layer. Raises `NotFound`, `Failed` for a
    damaged layer."""
    layer = next(each for each in release.slug.layers if each.kind == "source")
    found = {}
    with tempfile.TemporaryDirectory(prefix="homeport-") as scratch:
        path = Path(scratch) / layer.sha256
        store.get_to(layer_key(release.app, layer.sha256), path)
        verify(path, layer.sha256)
        with open_archive(path) as archive:
            for member in archive:
                name = str(PurePosixPath(member.name))
                if name.startswith("config/") and member.isreg() and member.size <= LARGEST_CONFIG_BYTES:
                    content = archive.extractfile(member)
                    found[name] = content.read() if content else b""
    return found


# --- releases ---------------------------------------------------------------------------------------------------------


def fitting(wanted: Wanted, catalogue: Catalogue) -> Release | None:
    """The newest release, if it is exactly what is wanted; None: a new one must be made."""
    newest = catalogue.newest(wanted.app, wanted.environment)
    if newest is None or newest.slug.dirty or wanted.source.dirty:
        return None
    if (newest.slug.commit, newest.slug.platform_file) != (wanted.source.commit, wanted.platform_file):
        return None
    if newest.resolved != wanted.resolved:
        return None
    now = snapshot(wanted.config, catalogue, wanted.resolved)
    return newest if newest.config == _digest(now) else None


def _digest(found: Snapshot) -> str:
    return hashlib.sha256(encode(found)).hexdigest()


def create(
    wanted: Wanted, builder: Builder, catalogue: Catalogue, *, by: str, why: str, now: datetime, say: Say, output: Say
) -> Release:
    """A new release, built and published. `output` gets what the commands of the build write. Raises `Invalid`,
    `Failed` (the build, with the tail of its output; nothing is published then), `Unavailable`."""
    # before the build: a mistake in config shows at once
    variables = snapshot(wanted.config, catalogue, wanted.resolved)
    slug = builder.build(wanted.app, wanted.source, wanted.build, serving=wanted.serving, progress=say, output=output)
    slug = replace(slug, platform_file=keep_platform_file(catalogue.store, wanted.app, wanted.text))
    release = _publish(catalogue, wanted.resolved, slug, variables, by=by, why=why, now=now)
    notice = tag_release(wanted.source, release.app, release.environment, release.number, alone=wanted.alone)
    if notice:
        say(notice)
    return release


def configure(running: Release, catalogue: Catalogue, *, by: str, why: str, now: datetime) -> Release | None:
    """A new release of the same code with the config of now; None where that is no change."""
    files = files_of_release(catalogue.store, running)
    variables = snapshot(files, catalogue, running.resolved)
    if _digest(variables) == running.config:
        return None
    task = running.run_release_task
    return _publish(catalogue, running.resolved, running.slug, variables, by=by, why=why, now=now, task=task)


def roll_back(
    running: Release, target: Release, catalogue: Catalogue, *, keep_config: bool, by: str, now: datetime
) -> Release:
    """A new release of the target's code and formation, with its config or, on request, that of what runs. Its release
    task isn't run again."""
    app, environment = target.app, target.environment
    variables = read_snapshot(catalogue.store, app, environment, target.config)
    if keep_config:
        kept = read_snapshot(catalogue.store, app, environment, running.config)
        # a group that what runs doesn't have keeps the config it had
        groups = {name: kept.groups.get(name, values) for name, values in variables.groups.items()}
        variables = Snapshot(groups=groups)
    return _publish(
        catalogue,
        target.resolved,
        target.slug,
        variables,
        by=by,
        why=f"rollback to {target.id}",
        now=now,
        task=False,
        origin=target.origin,
    )


class Promotion(Struct, frozen=True, kw_only=True):
    """What a release of one environment comes to in another. `alone`: its platform has no other app."""

    release: Release
    resolved: Resolved
    variables: Snapshot
    alone: bool
    notices: tuple[str, ...] = ()


def promotion(release: Release, target: str, catalogue: Catalogue) -> Promotion:
    """The same code in the environment `target`, as the platform file that it was released with describes it, with the
    config of `target`. Raises `NotFound` where that file has no such environment or isn't kept, `Invalid`, `Failed`."""
    text = read_platform_file(catalogue.store, release)
    described = platform.parse(text, file=f"the homeport.toml of {release.app} {release.id}")
    if target not in described.environments:
        raise NotFound(
            f"{described.file}, released to {release.environment}, has no environment {target!r}; "
            f"there is {', '.join(described.environments)}",
            hint=f"commit [environments.{target}] in homeport.toml, deploy it to {release.environment}, promote that",
        )
    processes = procfile.Procfile(processes=release.resolved.processes, release=release.resolved.release_task)
    resolved = platform.resolve(described, environment=target, app=release.app, procfile=processes)
    files = files_of_release(catalogue.store, release)
    return Promotion(
        release=release,
        resolved=resolved,
        variables=snapshot(files, catalogue, resolved),
        alone=len(described.apps) == 1,
        notices=ignored_files(files, groups={target: [group.name for group in resolved.groups]}),
    )


def promote(found: Promotion, catalogue: Catalogue, *, by: str, why: str, now: datetime) -> tuple[Release, bool]:
    """A release of the same layers, byte for byte, and whether it was made just now: else it is the newest there."""
    newest = catalogue.newest(found.resolved.app, found.resolved.place.name)
    if newest is not None and newest.run_release_task:
        same = (found.release.slug, found.resolved, _digest(found.variables))
        if (newest.slug, newest.resolved, newest.config) == same:
            return newest, False
    release = _publish(catalogue, found.resolved, found.release.slug, found.variables, by=by, why=why, now=now)
    return release, True


def _publish(
    catalogue: Catalogue,
    resolved: Resolved,
    slug: Slug,
    variables: Snapshot,
    *,
    by: str,
    why: str,
    now: datetime,
    task: bool = True,
    origin: int | None = None,
) -> Release:
    app, environment = resolved.app, resolved.place.name
    config = publish_snapshot(catalogue.store, app, environment, variables)

    def make(number: int) -> Release:
        return Release(
            app=app,
            environment=environment,
            number=number,
            slug=slug,
            config=config,
            resolved=resolved,
            created_at=now,
            created_by=by,
            why=why,
            origin=number if origin is None else origin,
            run_release_task=task,
        )

    return publish(catalogue.store, app=app, environment=environment, make=make)


def newest_of(catalogue: Catalogue, app: str, environment: str) -> Release:
    """The newest release. Raises `NotFound`."""
    found = catalogue.newest(app, environment)
    if found is None:
        raise NotFound(f"{app} has no release in {environment}", hint=f"homeport deploy -e {environment}")
    return found
