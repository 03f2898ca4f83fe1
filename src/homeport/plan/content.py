"""What a release makes the instances of a group run, so that two releases can be compared. Pure.

Called by `control.deployment` when a deployment begins: groups whose content is the same are kept. Left out is what
takes hold without a restart: counts, routes, `drain`, `stop_grace`.
"""

from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from homeport.model.platform import Health, ProcessType
from homeport.model.release import Layer, Release, Snapshot


class Content(Struct, frozen=True, kw_only=True):
    """Equal ones: an instance can't tell under which of the two releases it was started, but by HOMEPORT_RELEASE.
    `health` and the `host` that it is asked for belong to it: a new check is tried on new instances, before traffic."""

    layers: tuple[tuple[str, tuple[str, ...]], ...]
    image: str
    path: tuple[str, ...]
    processes: dict[str, str]
    types: dict[str, ProcessType]
    memory_bytes: int | None
    balanced: bool
    health: Health
    host: str | None
    values: dict[str, tuple[str, bool]]
    """Secrets as ciphertext, which is another at each `config set`."""
    stop_grace: timedelta | None


def unchanged_groups(old: Release, new: Release, before: Snapshot, after: Snapshot) -> frozenset[str]:
    """Names of the groups that both releases have with the same content. `before`, `after`: their variables."""
    names = {group.name for group in old.resolved.groups} & {group.name for group in new.resolved.groups}
    return frozenset(name for name in names if content(old, before, name) == content(new, after, name))


def content(release: Release, variables: Snapshot, name: str) -> Content:
    """Of the group `name`, which the release must have."""
    resolved = release.resolved
    group = resolved.group(name)
    assert group is not None
    types = {each: resolved.types.get(each, ProcessType()) for each in group.run}
    asked = group.balanced and group.health.path is not None
    # what is told to a process when it stops is laid down when it starts
    told = any(each.stop is not None or each.after for each in types.values())
    return Content(
        layers=tuple((_code(each), each.mounts) for each in release.slug.layers),
        image=release.slug.image,
        path=release.slug.path,
        processes={each: resolved.processes[each] for each in group.run},
        types=types,
        memory_bytes=group.memory_bytes,
        balanced=group.balanced,
        # how long one may be unhealthy is nothing to the instance
        health=replace(group.health, unhealthy_after=None),
        host=next((route.host for route in resolved.routes if route.host is not None), None) if asked else None,
        values={key: (each.text, each.secret) for key, each in variables.groups.get(name, {}).items()},
        stop_grace=group.stop_grace if told else None,
    )


def _code(layer: Layer) -> str:
    return layer.content or layer.sha256
