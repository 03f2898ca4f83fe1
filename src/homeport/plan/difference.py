"""What differs between two releases of an app, of one environment or of two.

Pure. One function for all who ask: `promote`, `status --diff`, `config diff`, `release diff`, `deploy --dry-run`.
`releases.side` puts together what is compared; `cli.difference` shows what differs.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from homeport.model.platform import Group, Resolved, Route
from homeport.model.release import Slug
from homeport.plan.config import HIDDEN
from homeport.plan.desired import size

Rows = Mapping[str, tuple[object, str]]
"""What is compared → its value, and that in words."""


class Value(Struct, frozen=True, kw_only=True):
    """A variable as it can be compared: equal digests mean equal texts. `text` None: a secret's, which nobody sees.
    `readable` False: it can't be decrypted here, and the digest is the ciphertext's."""

    digest: str
    text: str | None = None
    secret: bool = False
    readable: bool = True


class Side(Struct, frozen=True, kw_only=True):
    """One of the two. A slug without layers isn't built yet: what only a build can tell isn't compared then.
    `config`: group → key → value. `sizes`: group → what `homeport scale` asked for."""

    resolved: Resolved
    slug: Slug
    config: dict[str, dict[str, Value]]
    sizes: dict[str, int] = {}


class Change(Struct, frozen=True, kw_only=True):
    """`old` or `new` None: it isn't there on that side."""

    what: str
    old: str | None
    new: str | None


class ConfigChange(Struct, frozen=True, kw_only=True):
    """`groups` empty: the same in all of them. Texts of secrets are `***`. `unknown`: there on both
    sides, and can't be decrypted here on one of them at least."""

    key: str
    kind: Literal["added", "removed", "changed", "unknown"]
    old: str | None
    new: str | None
    secret: bool
    groups: tuple[str, ...] = ()


class Difference(Struct, frozen=True, kw_only=True):
    """From one side to the other. False where nothing differs."""

    code: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    formation: tuple[Change, ...] = ()
    routes: tuple[Change, ...] = ()
    health: tuple[Change, ...] = ()
    strategy: tuple[Change, ...] = ()
    config: tuple[ConfigChange, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, section) for section in self.__struct_fields__)


def nothing_before(new: Side) -> Side:
    """The other side of what is the first in its environment."""
    resolved = replace(new.resolved, groups=(), routes=(), processes={}, release_task=None)
    return Side(resolved=resolved, slug=replace(new.slug, layers=(), commit=""), config={})


def difference(old: Side, new: Side) -> Difference:
    """From `old` to `new`. Names and numbers of environments and releases don't count, nor does the order of groups
    and routes; mode, addresses and certificates only within one environment."""
    before, after = old.resolved, new.resolved
    built = bool(old.slug.layers and new.slug.layers)
    same_place = before.place.id == after.place.id
    shared = [group.name for group in before.groups if after.group(group.name)]
    return Difference(
        code=_changes(_code(old.slug, built=built), _code(new.slug, built=built)),
        settings=_changes(_settings(before, whole=same_place), _settings(after, whole=same_place)),
        formation=tuple(_formation(old, new)),
        routes=_changes(_routes(before.routes), _routes(after.routes)),
        health=_changes(_healths(before, shared), _healths(after, shared)),
        strategy=_changes(_fields(before.deploy), _fields(after.deploy)),
        config=config_difference(old.config, new.config),
    )


def _changes(old: Rows, new: Rows) -> tuple[Change, ...]:
    found = []
    for what in dict.fromkeys([*new, *old]):
        before, after = old.get(what), new.get(what)
        if (before and before[0]) != (after and after[0]) or (before is None) != (after is None):
            found.append(Change(what=what, old=before and before[1], new=after and after[1]))
    return tuple(found)


# --- code and settings ------------------------------------------------------------------------------------------------


def _code(slug: Slug, *, built: bool) -> Rows:
    shown = f"{slug.commit[:10]}{'+' if slug.dirty else ''} {slug.subject}".rstrip()
    rows: dict[str, tuple[object, str]] = {}
    if slug.commit:
        rows["commit"] = ((slug.commit, slug.dirty), shown)
    if slug.platform_file:
        rows["homeport.toml"] = _row(slug.platform_file, slug.platform_file[:10])
    if built:
        rows |= {layer.kind: (layer, layer.sha256[:12]) for layer in slug.layers}
        rows |= _fields(slug, without=("layers", "commit", "dirty", "subject", "platform_file"))
    return rows


def _settings(resolved: Resolved, *, whole: bool) -> Rows:
    """The place, and whatever the release is resolved to that no other section has."""
    place = resolved.place
    rows = _fields(place, without=("platform", "name") if whole else _OF_ONE_PLACE)
    if not whole and place.tls:
        rows["tls"] = _row(True)
    for field in resolved.__struct_fields__:
        if field in _SECTIONS:
            continue
        value = getattr(resolved, field)
        parts = _fields(value) if isinstance(value, Struct) else {key: _row(each) for key, each in value.items()}
        rows |= {f"{field}: {what}": row for what, row in parts.items()}
    return rows


_OF_ONE_PLACE = ("platform", "name", "mode", "listen", "redirect", "tls")
"""What is bound to differ between two environments."""
_SECTIONS = ("app", "place", "groups", "routes", "deploy", "processes", "release_task")


# --- formation --------------------------------------------------------------------------------------------------------


def _formation(old: Side, new: Side) -> Iterator[Change]:
    before, after = old.resolved, new.resolved
    for name in dict.fromkeys(group.name for group in (*before.groups, *after.groups)):
        was, shall = before.group(name), after.group(name)
        if was and shall:
            for each in _changes(_group(was, old.sizes), _group(shall, new.sizes)):
                yield Change(what=f"{name}: {each.what}", old=each.old, new=each.new)
        else:
            yield Change(
                what=name,
                old=_whole(was, old.sizes) if was else None,
                new=_whole(shall, new.sizes) if shall else None,
            )
    yield from _changes(_processes(before), _processes(after))


def _group(group: Group, sizes: Mapping[str, int]) -> Rows:
    bounds = group.instances
    count = size(group, sizes)
    rows = {"instances": _row((count, bounds.min, bounds.max), f"{count} ({bounds.min}–{bounds.max})")}
    if bounds.desired != count:
        # what holds where nothing was scaled
        rows["desired in the file"] = _row(bounds.desired)
    if group.memory_bytes is not None:
        rows["memory"] = _row(group.memory_bytes, f"{group.memory_bytes / 1_000_000:g} MB")
    return rows | _fields(group, without=("name", "instances", "memory_bytes", "health"))


def _whole(group: Group, sizes: Mapping[str, int]) -> str:
    rows = _group(group, sizes)
    memory = f", {rows['memory'][1]} each" if "memory" in rows else ""
    return f"{rows['instances'][1]} of {rows['run'][1]}{memory}"


def _processes(resolved: Resolved) -> Rows:
    rows = {f"command of {type_}": _row(command) for type_, command in resolved.processes.items()}
    if resolved.release_task is not None:
        rows["release task"] = _row(resolved.release_task)
    return rows


# --- routes and health ------------------------------------------------------------------------------------------------


def _routes(routes: tuple[Route, ...]) -> Rows:
    rows = {}
    for each in routes:
        said = _fields(each, without=("to", "host", "path"))
        more = _said({what: row for what, row in said.items() if row[0]})
        rows[f"{each.host or ''}{each.path}"] = _row(each, f"{each.to}{more and f' ({more})'}")
    return rows


def _healths(resolved: Resolved, names: list[str]) -> Rows:
    rows: dict[str, tuple[object, str]] = {}
    for group in resolved.groups:
        if group.name in names:
            rows |= {f"{group.name}: {what}": row for what, row in _fields(group.health).items()}
    return rows


# --- any struct -------------------------------------------------------------------------------------------------------


def _fields(struct: Struct, *, without: Collection[str] = ()) -> dict[str, tuple[object, str]]:
    """A row for each field that has a value: what the model gains is compared without a word here."""
    named = {name: getattr(struct, name) for name in struct.__struct_fields__ if name not in without}
    return {name: _row(value) for name, value in named.items() if value is not None}


def _row(value: object, text: str | None = None) -> tuple[object, str]:
    return value, _in_words(value) if text is None else text


def _in_words(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case timedelta():
            return f"{value.total_seconds():g} s"
        case Struct():
            return _said(_fields(value))
        case tuple():
            return ", ".join(map(_in_words, value)) or "none"
    return str(value)


def _said(rows: Rows) -> str:
    return ", ".join(f"{what} {text}" for what, (_, text) in rows.items())


# --- config -----------------------------------------------------------------------------------------------------------


def config_difference(
    old: Mapping[str, Mapping[str, Value]], new: Mapping[str, Mapping[str, Value]]
) -> tuple[ConfigChange, ...]:
    """Sorted by key. What a group has that is on one side only, is no news where the other side has the same somewhere.
    Once a key is secret in any group of either side, none of its texts is shown."""
    groups = tuple(dict.fromkeys([*old, *new]))
    keys = sorted({key for side in (old, new) for values in side.values() for key in values})
    found: list[ConfigChange] = []
    for key in keys:
        news: dict[tuple[Value | None, Value | None], list[str]] = {}
        for group in groups:
            pair = old.get(group, {}).get(key), new.get(group, {}).get(key)
            if pair[0] != pair[1] and not _elsewhere(key, group, old, new):
                news.setdefault(pair, []).append(group)
        secret = any(values[key].secret for side in (old, new) for values in side.values() if key in values)
        for (before, after), where in news.items():
            everywhere = len(where) == len(groups)
            found.append(_config_change(key, before, after, () if everywhere else tuple(where), secret=secret))
    return tuple(found)


def _elsewhere(
    key: str, group: str, old: Mapping[str, Mapping[str, Value]], new: Mapping[str, Mapping[str, Value]]
) -> bool:
    """Whether a group that only one side has brings nothing that the other side doesn't have in another group."""
    if (group in old) == (group in new):
        return False
    here, there = (old, new) if group in old else (new, old)
    return any(values.get(key) == here[group][key] for values in there.values())


def _config_change(
    key: str, before: Value | None, after: Value | None, groups: tuple[str, ...], *, secret: bool
) -> ConfigChange:
    kind: Literal["added", "removed", "changed", "unknown"] = "changed"
    if before is None:
        kind = "added"
    elif after is None:
        kind = "removed"
    elif not (before.readable and after.readable):
        kind = "unknown"
    return ConfigChange(
        key=key, kind=kind, old=_shown(before, secret), new=_shown(after, secret), secret=secret, groups=groups
    )


def _shown(value: Value | None, secret: bool) -> str | None:
    if value is None:
        return None
    return HIDDEN if secret or value.text is None else value.text
