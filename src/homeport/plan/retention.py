"""What of an app's objects in the store may go, and what is kept because of what. Pure; called by `releases.prune`.
What lies on the machine itself is `plan.remains`'s.

What isn't known is kept, and so is all that it could name: a release that can't be read, a note that can't be read, an
object of a kind that this version doesn't know. The newest release and the newest deployment of an environment always
stay, so that their numbers are never given again. Pages of config stay: what is set is the sum of all of them.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from homeport.errors import NotFound
from homeport.model.platform import Retention
from homeport.model.release import Release
from homeport.model.retention import Kept, Removal, Sweep
from homeport.plan.lease import fence_of
from homeport.plan.release import (
    good_numbers,
    layer_key,
    platform_file_key,
    release_key,
    rollback_target,
    snapshot_key,
)

GRACE = timedelta(days=1)
"""Nothing younger goes: a build uploads its layers before the release that names them, and somebody may have begun to
write after a key that he saw long ago."""
KEPT_DEPLOYMENTS = 50
"""Journals that stay, per app and environment."""

_PART = re.compile(r"[^/]+/(?:layers/[0-9a-f]{64}\.tar\.zst|layers/platform/[0-9a-f]{64}\.toml|[^/]+/env/[0-9a-f]{64})")
_JOURNAL = re.compile(r"deployments/([0-9]+)/[0-9]+-[0-9]+")
_BEAT = re.compile(r"lease/([0-9]+)/[^/]+")


class Stored(Struct, frozen=True, kw_only=True):
    """An object without its content."""

    key: str
    size_bytes: int
    modified_at: datetime


class EnvironmentView(Struct, frozen=True, kw_only=True):
    """What an app's objects in one environment say. `unknown`: what couldn't be read; empty: all could."""

    releases: dict[int, Release | None] = {}
    """None: it can't be read."""
    told: tuple[tuple[str, int], ...] = ()
    """(key, release) of every good verdict, oldest first."""
    launch: dict[str, tuple[str, int | None]] = {}
    """Prefix of a group's pointers → (key of the last that counts, its release)."""
    named: frozenset[int] = frozenset()
    """The newest deployment's release, and the one before it."""
    unknown: str = ""


class AppView(Struct, frozen=True, kw_only=True):
    """One app's part of the store. `held`: keys that somebody is about to name. `indexed`: key of an index entry → the
    digest of its layer."""

    app: str
    objects: dict[str, Stored]
    environments: dict[str, EnvironmentView]
    held: frozenset[str] = frozenset()
    indexed: dict[str, str] = {}


def plan_store(view: AppView, needed: Mapping[str, Collection[int]], now: datetime) -> Sweep:
    """`needed`: environment → releases that this machine runs, or may start. First what names, then what is named: cut
    off anywhere, what is left names nothing that is gone."""
    going: list[Removal] = []
    kept: list[Kept] = []
    staying: dict[str, dict[int, Release | None]] = {}
    for name, seen in sorted(view.environments.items()):
        staying[name] = {}
        reasons = _reasons(view, name, seen, frozenset(needed.get(name, ())), now)
        for number, release in sorted(seen.releases.items()):
            key = release_key(view.app, name, number)
            if number in reasons:
                staying[name][number] = release
                kept.append(Kept(what=key, why=reasons[number]))
            else:
                going.append(_removal(view, key, _too_old(seen, number, now - view.objects[key].modified_at)))
    going += _parts(view, staying, now)
    for name, seen in sorted(view.environments.items()):
        if not seen.unknown:
            going += _journals(view, name, now)
            going += _pointers(view, seen, staying[name], now)
        going += _leases(view, name, now)
    return Sweep(going=tuple(going), kept=tuple(kept))


# --- releases ---------------------------------------------------------------------------------------------------------


def policy(seen: EnvironmentView) -> Retention:
    """What the newest release says."""
    known = [number for number, release in seen.releases.items() if release is not None]
    newest = seen.releases[max(known)] if known else None
    return newest.resolved.retention if newest is not None else Retention()


def _reasons(view: AppView, name: str, seen: EnvironmentView, needed: frozenset[int], now: datetime) -> dict[int, str]:
    """Release → the first reason for which it is kept."""
    if seen.unknown:
        return dict.fromkeys(seen.releases, f"what {name} needs isn't known: {seen.unknown}")
    count = policy(seen).releases
    good = [number for number in good_numbers([each for _, each in seen.told]) if number in seen.releases]
    newest = sorted(seen.releases)[-count:]
    launched = {each for _, each in seen.launch.values() if each is not None}
    running = launched | set(good[-1:])
    rules: tuple[tuple[Collection[int], str], ...] = (
        ({number for number, release in seen.releases.items() if release is None}, "it can't be read"),
        (good[-1:], "current: the last with a good verdict"),
        (good[-2:], "previous: good before the current one"),
        (_ways_back(seen, good, running), "where a rollback goes"),
        (launched, "what new instances get"),
        (seen.named, "the newest deployment names it"),
        (needed, "it runs here, or may be started here"),
        (newest[-1:], "the newest: its number isn't given again"),
        (good[-count:], f"one of the last {count} good ones"),
        (newest, f"one of the last {count} made"),
        (_of_keys(view.held, view.app, name), "somebody is about to use it"),
        (_young(view, name, seen, now), "younger than a day"),
    )
    reasons: dict[int, str] = {}
    for numbers, why in rules:
        for number in numbers:
            reasons.setdefault(number, why)
    return reasons


def _ways_back(seen: EnvironmentView, good: list[int], running: Iterable[int]) -> set[int]:
    """Where rollbacks from what runs would go."""
    known = [release for number in good if (release := seen.releases[number]) is not None]
    found = set()
    for number in running:
        release = seen.releases.get(number)
        if release is not None:
            try:
                found.add(rollback_target(release, known).number)
            except NotFound:
                continue
    return found


def _of_keys(keys: Collection[str], app: str, environment: str) -> set[int]:
    found = (re.fullmatch(re.escape(f"{app}/{environment}/r") + r"([0-9]+)/release\.json", key) for key in keys)
    return {int(match[1]) for match in found if match}


def _young(view: AppView, name: str, seen: EnvironmentView, now: datetime) -> set[int]:
    return {number for number in seen.releases if not _old(view.objects[release_key(view.app, name, number)], now)}


def _too_old(seen: EnvironmentView, number: int, age: timedelta) -> str:
    good = good_numbers([each for _, each in seen.told])
    if number not in good:
        return f"never had a good verdict, {age.days} d old"
    return f"{len(good) - 1 - good.index(number)} newer good ones, {age.days} d old"


# --- parts of releases ------------------------------------------------------------------------------------------------


def _parts(view: AppView, staying: Mapping[str, Mapping[int, Release | None]], now: datetime) -> Iterator[Removal]:
    """Layers, snapshots, platform files that no release which stays names; before the layers what finds them."""
    releases = [each for there in staying.values() for each in there.values()]
    if None in releases or any(seen.unknown for seen in view.environments.values()):
        return
    named = {key for release in releases if release is not None for key in parts(release)} | view.held
    prefix = f"{view.app}/layers/"
    gone = [
        key
        for key, each in sorted(view.objects.items())
        if _PART.fullmatch(key) and key not in named and _old(each, now)
    ]
    there = view.objects.keys() - set(gone)
    for key, sha256 in sorted(view.indexed.items()):
        if layer_key(view.app, sha256) not in there and _old(view.objects[key], now):
            yield _removal(view, key, "the layer that it finds is gone, or goes")
    for key in gone:
        yield _removal(view, key, "no release that is kept has it")
    for key, each in sorted(view.objects.items()):
        if key.startswith((f"{prefix}held/", f"{prefix}going/")) and _old(each, now):
            yield _removal(view, key, "a note of somebody who has ended")


def parts(release: Release) -> tuple[str, ...]:
    """Keys of all objects that a release names."""
    found = [layer_key(release.app, layer.sha256) for layer in release.slug.layers]
    found.append(snapshot_key(release.app, release.environment, release.config))
    if release.slug.platform_file:
        found.append(platform_file_key(release.app, release.slug.platform_file))
    return tuple(found)


# --- what deployments leave -------------------------------------------------------------------------------------------


def _journals(view: AppView, name: str, now: datetime) -> Iterator[Removal]:
    """Whole journals, each from its end: what is left of one that was cut off can still be read."""
    found: dict[int, list[Stored]] = {}
    for key, each in _below(view, name):
        if match := _JOURNAL.fullmatch(key):
            found.setdefault(int(match[1]), []).append(each)
    for number in sorted(found)[:-KEPT_DEPLOYMENTS]:
        if all(_old(each, now) for each in found[number]):
            for each in sorted(found[number], key=lambda each: each.key, reverse=True):
                yield _removal(view, each.key, f"{KEPT_DEPLOYMENTS} newer deployments")


def _pointers(view: AppView, seen: EnvironmentView, staying: Collection[int], now: datetime) -> Iterator[Removal]:
    """Verdicts on releases that are gone, and what new instances got before: always the oldest first, as a marker voids
    only keys before it."""
    last = {number: key for key, number in seen.told if number in staying}
    firsts = dict.fromkeys((f"{key.rpartition('/')[0]}/" for key, _ in seen.told), min(last.values(), default=""))
    firsts |= {prefix: key for prefix, (key, _) in seen.launch.items()}
    for prefix, first in sorted(firsts.items()):
        for key, each in sorted(view.objects.items()):
            if not first or not key.startswith(prefix) or fence_of(key) >= fence_of(first) or not _old(each, now):
                continue
            yield _removal(view, key, "nothing that is kept follows from it")


def _leases(view: AppView, name: str, now: datetime) -> Iterator[Removal]:
    found = {key: int(match[1]) for key, _ in _below(view, name) if (match := _BEAT.fullmatch(key))}
    prefix = f"{view.app}/{name}/"
    for key, fence in sorted(found.items()):
        if fence < max(found.values()) and _old(view.objects[prefix + key], now):
            yield _removal(view, prefix + key, "a lease that was over long ago")


def _below(view: AppView, name: str) -> Iterator[tuple[str, Stored]]:
    """(key without the environment's prefix, object)."""
    prefix = f"{view.app}/{name}/"
    for key, each in sorted(view.objects.items()):
        if key.startswith(prefix):
            yield key.removeprefix(prefix), each


def _old(each: Stored, now: datetime) -> bool:
    return now - each.modified_at > GRACE


def _removal(view: AppView, key: str, why: str) -> Removal:
    return Removal(what=key, size_bytes=view.objects[key].size_bytes, why=why)
