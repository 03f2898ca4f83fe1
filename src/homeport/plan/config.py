"""Config: an environment's variables, in layers. Called by releases (snapshots) and by `homeport config`.

config/common ← config/<environment> ← config/<environment>/<group> ← `config set` ← `config set --group`
"""

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from homeport.errors import Invalid
from homeport.model.release import ConfigValue
from homeport.plan.env_file import key_problem, parse_env_dir, parse_env_file, value_problem
from homeport.plan.mistake import meant

__all__ = [
    "COMMON",
    "HIDDEN",
    "ConfigLayer",
    "Explained",
    "check_key",
    "check_value",
    "effective",
    "explain",
    "ignored_files",
    "levels",
    "parse_env_dir",
    "parse_env_file",
    "repository_layers",
]

COMMON = "config/common"
HIDDEN = "***"


class ConfigLayer(Struct, frozen=True, kw_only=True):
    """`name` is shown to people: "config/common", "config set #3". A value of None unsets what earlier layers said."""

    name: str
    values: dict[str, ConfigValue | None]


class Explained(Struct, frozen=True, kw_only=True):
    """Where one variable comes from. `value` None: `layer` unset it. `overrode`: (layer, its value) that lost, nearest
    first. Once a key is secret in any layer, all its values are shown as ***."""

    key: str
    value: str | None
    layer: str
    secret: bool
    overrode: tuple[tuple[str, str | None], ...]


def check_key(key: str) -> None:
    """Raises `Invalid` where no variable can be called so."""
    if problem := key_problem(key):
        raise Invalid(problem)


def check_value(key: str, value: str) -> None:
    """Raises `Invalid` where `value` can't be in an environment; newlines, quotes, blanks and, as surrogate escapes,
    any bytes but NUL can. The message doesn't show it."""
    if problem := value_problem(key, value):
        raise Invalid(problem)


def effective(layers: Sequence[ConfigLayer]) -> dict[str, ConfigValue]:
    """What a process gets, sorted by key, each value with the name of its layer: the later layer wins."""
    values: dict[str, ConfigValue] = {}
    for layer in layers:
        for key, value in layer.values.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = ConfigValue(text=value.text, secret=value.secret, layer=layer.name)
    return dict(sorted(values.items()))


def explain(layers: Sequence[ConfigLayer]) -> tuple[Explained, ...]:
    """A row for every key that any layer names, sorted by key; an unset key has its row too."""
    said: dict[str, list[tuple[str, ConfigValue | None]]] = {}
    for layer in layers:
        for key, value in layer.values.items():
            said.setdefault(key, []).insert(0, (layer.name, value))
    return tuple(_explained(key, values) for key, values in sorted(said.items()))


def _explained(key: str, values: list[tuple[str, ConfigValue | None]]) -> Explained:
    secret = any(value.secret for _, value in values if value)
    shown = [(layer, None if value is None else HIDDEN if secret else value.text) for layer, value in values]
    layer, text = shown[0]
    return Explained(key=key, value=text, layer=layer, secret=secret, overrode=tuple(shown[1:]))


# --- the repository's part -------------------------------------------------------------------------------------------


def levels(environment: str, group: str) -> tuple[str, ...]:
    """The places in an app's repository that say something about a group, the nearest last."""
    return COMMON, f"config/{environment}", f"config/{environment}/{group}"


def repository_layers(files: Mapping[str, bytes], *, environment: str, group: str) -> tuple[ConfigLayer, ...]:
    """One layer for each level of which `files` (path in the repository → content; others than `config/` are passed
    over) has something. A level is `<level>.env`, `<level>/env` and `<level>/<KEY>`, in this order of growing weight;
    `<level>.env` and the directory may both be there. Raises `Invalid`."""
    layers: list[ConfigLayer] = []
    for level in levels(environment, group):
        values: dict[str, str | None] = {}
        for path in (f"{level}.env", f"{level}/env"):
            if path in files:
                values |= parse_env_file(files[path].decode("utf-8", "surrogateescape"), file=path)
        values |= parse_env_dir(_keys(files, level), directory=level)
        if values:
            named = {key: None if value is None else ConfigValue(text=value) for key, value in values.items()}
            layers.append(ConfigLayer(name=level, values=named))
    return tuple(layers)


def ignored_files(files: Mapping[str, bytes], *, groups: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """A sentence for each level in `config/common` and `config/<environment>` that no group reads, so that a slip of
    the pen shows. `groups`: environment → its groups. Other things under `config/` belong to the app."""
    notices: dict[str, str] = {}
    for path in sorted(files):
        parts = path.removesuffix(".env").split("/")
        if len(parts) < 3 or parts[0] != "config" or parts[1] not in groups:
            continue
        known = groups[parts[1]]
        below = len(parts) > 3 and _is_key(parts[3]) and "." not in parts[3]
        if (path.endswith(".env") and len(parts) == 3) or below:
            level = "/".join(parts[:3])
            if parts[2] not in known:
                notices[level] = f"{path} isn't read: no group {parts[2]} in {parts[1]}{meant(parts[2], known)}"
    return tuple(notices.values())


def _keys(files: Mapping[str, bytes], level: str) -> dict[str, bytes]:
    """The files directly in `level` that are variables: all but `env` and names with a dot (README.md, web.env)."""
    prefix = level + "/"
    names = {path.removeprefix(prefix): content for path, content in files.items() if path.startswith(prefix)}
    return {name: content for name, content in names.items() if "/" not in name and "." not in name and name != "env"}


def _is_key(name: str) -> bool:
    return key_problem(name) is None or name == "env"
