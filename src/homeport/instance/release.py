"""A release on a machine: its layers unpacked once, and what one generation of it is given.

Called by the local engine's launcher and by the agent, outside the sandbox.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from homeport.instance.assemble import Assembly
from homeport.instance.turn import Turns
from homeport.instance.unpack import unpack, verify
from homeport.model.release import ConfigValue, Layer, Release
from homeport.plan.release import layer_key
from homeport.ports.encryption import Encryption
from homeport.ports.objects import ObjectStore
from homeport.system.effect import effect

IMAGE = {"NODE_ENV": "production"}
"""What config goes over."""


class Tenant(Struct, frozen=True, kw_only=True):
    """Who is to run, where: an instance, a task or a session. `told`: variables that say so to its processes."""

    name: str
    directory: Path
    logs: Path
    processes: Mapping[str, str]
    """Process type → command line."""
    ports: Mapping[str, int]
    told: Mapping[str, str]
    uid: int | None = None
    memory_bytes: int | None = None
    turns: Turns = Turns()


def unpacked(store: ObjectStore, layers: Path, app: str, layer: Layer) -> Path:
    """The directory below `layers` with the layer's content, fetched and verified where it isn't there yet. Raises
    `NotFound`, `Failed` for other bytes than were released, `Invalid` for what mustn't be in one, `Unavailable`."""
    place = layers / layer.sha256
    if place.is_dir():
        return place
    archive = layers / f"{layer.sha256}.tar.zst"
    remove_archive(archive)
    try:
        store.get_to(layer_key(app, layer.sha256), archive)
        verify(archive, layer.sha256)
        unpack(archive, place)
    finally:
        remove_archive(archive)
    return place


def sweep(layers: Path) -> None:
    """What a program that was killed left of its downloads is gone; nothing may be fetched meanwhile."""
    for path in layers.iterdir():
        if path.is_file():
            remove_archive(path)


def assembly_of(
    release: Release, config: Mapping[str, ConfigValue], tenant: Tenant, *, layers: Path, encryption: Encryption
) -> Assembly:
    """What `assemble` needs. The release's layers lie unpacked below `layers`. Raises `Unavailable` and `Invalid` where
    a secret of `config` can't be decrypted."""
    source = next(layer for layer in release.slug.layers if layer.kind == "source")
    own = {
        "PYTHONUNBUFFERED": "1",
        "HOMEPORT_APP": release.app,
        "HOMEPORT_ENVIRONMENT": release.environment,
        "HOMEPORT_RELEASE": release.id,
        **tenant.told,
    }
    return Assembly(
        directory=tenant.directory,
        logs=tenant.logs,
        source=layers / source.sha256,
        dependencies={
            mount: layers / layer.sha256 / mount
            for layer in release.slug.layers
            if layer.kind == "dependencies"
            for mount in layer.mounts
        },
        path=release.slug.path,
        processes=tenant.processes,
        ports=tenant.ports,
        environment=[("image", IMAGE), *_clear(config, encryption), ("homeport", own)],
        hostname=tenant.name,
        uid=tenant.uid,
        memory_bytes=tenant.memory_bytes,
        turns=tenant.turns,
    )


def _clear(values: Mapping[str, ConfigValue], encryption: Encryption) -> list[tuple[str, Mapping[str, str]]]:
    """In three layers, as they were layered: common, environment, group."""
    found: dict[str, dict[str, str]] = {"common": {}, "environment": {}, "group": {}}
    for key, value in values.items():
        depth = value.layer.count("/")
        layer = "common" if value.layer.startswith("config/common") else ("group" if depth > 1 else "environment")
        found[layer][key] = encryption.decrypt(value.text).reveal() if value.secret else value.text
    return list(found.items())


@effect("layer.remove_archive")
def remove_archive(path: Path) -> None:
    path.unlink(missing_ok=True)
