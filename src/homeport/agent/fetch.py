"""From a release's URL, or a server's launch pointer, to layers unpacked here. Called by `agent.main`.

Nothing that runs is touched. Each layer is fetched once; half a one is never taken for a whole one.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from homeport.agent.record import Bound
from homeport.errors import Failed, Invalid, NotFound, Unavailable
from homeport.instance.release import unpacked
from homeport.model.release import Layer, Release
from homeport.plan.image import misfits
from homeport.plan.instance_file import InstanceFile
from homeport.plan.mistake import instead
from homeport.plan.release_url import EXAMPLE, ReleaseUrl
from homeport.ports.objects import ObjectStore
from homeport.releases.catalogue import Catalogue
from homeport.releases.image import image_id, interpreters, node_with_npm
from homeport.releases.publish import read_snapshot
from homeport.stores.objects import open_store
from homeport.system.home import Home

_RELEASE = re.compile(r"([^/]+)/([^/]+)/(?:r[0-9]+/release\.json|launch/.+)")

Say = Callable[[str], None]


def newest(said: InstanceFile) -> ReleaseUrl:
    """What a new instance of the server's group gets: what the launch pointer names, else the last good release. Raises
    `NotFound` where there is neither, `Invalid`, `Unavailable`."""
    wanted = {"store": said.store, "app": said.app, "environment": said.environment}
    missing = [name for name, value in wanted.items() if value is None]
    if missing:
        raise Invalid(
            f"it isn't said of which {', '.join(missing)} this server is",
            hint=f'in /etc/homeport/instance.toml: {missing[0]} = "…"; or HOMEPORT_{missing[0].upper()}=…',
        )
    assert said.store is not None
    assert said.app is not None
    assert said.environment is not None
    store = open_store(said.store)
    catalogue = Catalogue(store)
    pointers = f"{said.app}/{said.environment}/launch/"
    groups = {said.group} if said.group else {key[len(pointers) :].split("/")[0] for key in store.list(pointers)}
    launched = [number for each in groups if (number := catalogue.launch(said.app, said.environment, each)) is not None]
    good = catalogue.good(said.app, said.environment)
    if not launched and not good:
        raise _nothing(store, said.app, said.environment, "no release is good yet, nor does a launch pointer name one")
    return ReleaseUrl(
        store=said.store.rstrip("/"),
        app=said.app,
        environment=said.environment,
        number=max(launched) if launched else good[-1],
    )


def fetch(url: ReleaseUrl, said: InstanceFile, home: Home, say: Say) -> Bound:
    """The release, its layers verified and unpacked below `home.layers`. Raises `NotFound` with what there is instead,
    `Failed` for damaged layers and for a release that was built for another image, `Invalid`, `Unavailable`."""
    store = open_store(url.store)
    catalogue = Catalogue(store)
    try:
        release = catalogue.get(url.app, url.environment, url.number)
    except NotFound as error:
        if catalogue.numbers(url.app, url.environment):
            raise
        raise _nothing(store, url.app, url.environment, f"so no r{url.number}") from error
    fits(release)
    groups = chosen(release, said)
    snapshot = read_snapshot(store, url.app, url.environment, release.config)
    try:
        complete(store, home.layers, release, say)
    except NotFound as error:
        raise Failed(f"{url} can't be fetched: {error.message}: it was removed from the store") from error
    return Bound(url=str(url), release=release, snapshot=snapshot, groups=groups)


def complete(store: ObjectStore, layers: Path, release: Release, say: Say) -> None:
    """All layers of the release lie unpacked below `layers`."""
    for number, layer in enumerate(release.slug.layers, 1):
        if not (layers / layer.sha256).is_dir():
            say(f"fetching layer {number} of {len(release.slug.layers)}: {layer.kind}, {_size(layer.size_bytes)}")
        place = unpacked(store, layers, release.app, layer)
        _check_links(release, layer, place)


def fits(release: Release) -> None:
    """Nothing, where the release's image and this machine go together. Raises `Failed`."""
    wants_node = " node-" in release.slug.image
    here = image_id(interpreters(), node_with_npm() if wants_node else None)
    problems = misfits(release.slug.image, here)
    if problems:
        raise _unfit(release, problems)


def chosen(release: Release, said: InstanceFile) -> tuple[str, ...]:
    """Names of the groups that this server runs. Raises `NotFound`, `Invalid` where it isn't said."""
    names = tuple(each.name for each in release.resolved.groups)
    if said.group is not None:
        if said.group not in names:
            what = f"{release.app} {release.id} has no group {said.group!r}"
            raise NotFound(f"{what}{instead(said.group, names)}", hint=f"HOMEPORT_GROUP={names[0]}")
        return (said.group,)
    mode = said.mode or release.resolved.place.mode
    if len(names) > 1 and mode != "review":
        raise Invalid(
            f"{release.app} {release.id} has the groups {', '.join(names)}, and it isn't said which of them this is",
            hint=f"HOMEPORT_GROUP={names[0]}; or all of them here: HOMEPORT_MODE=review",
        )
    return names


def _check_links(release: Release, layer: Layer, place: Path) -> None:
    """A virtualenv names the very interpreter that it was made with."""
    for mount in layer.mounts:
        for link in sorted((place / mount / "bin").glob("python*")):
            target = link.readlink() if link.is_symlink() else None
            if target is not None and target.is_absolute() and not target.exists():
                raise _unfit(release, (f"it needs {target}, which isn't there",))


def _unfit(release: Release, problems: Iterable[str]) -> Failed:
    return Failed(
        f"{release.app} {release.id} doesn't run on this machine: {'; '.join(problems)}",
        hint="deploy it from a machine like this one, or use a server with the image that it was built on",
        details=(f"its image: {release.slug.image}",),
    )


def _nothing(store: ObjectStore, app: str, environment: str, therefore: str) -> NotFound:
    """There are no releases: what was probably meant."""
    environments = {match[2] for key in store.list(f"{app}/") if (match := _RELEASE.fullmatch(key))}
    if environment in environments:
        where = f"{store.place}/{app}/{environment}"
        return NotFound(f"{where}: {therefore}", hint=f"by its number: homeport-agent deploy {where}/r…")
    if environments:
        said = f"{app} has no releases for {environment!r} in {store.place}{instead(environment, environments)}"
    else:
        apps = _apps(store)
        said = f"there is no app {app!r} in {store.place}{instead(app, apps) if apps else ', nor any other'}"
    return NotFound(f"{said}: {therefore}", hint=f"a release is named with store, app and environment: {EXAMPLE}")


def _apps(store: ObjectStore) -> set[str]:
    """Those that have releases; empty where this server may only look at its own, as the role of one on AWS has it."""
    try:
        return {match[1] for key in store.list("") if (match := _RELEASE.fullmatch(key))}
    except Unavailable:
        return set()


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1000:.1f} kB"
