"""The user's settings of package registries, proxies and certificates, for the build only. Called by `build`.

They aren't part of a slug or of a cache's key, and never reach an instance.
"""

import configparser
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from msgspec import Struct

from homeport.ports.sandbox import Mount

HOME = "/home"
"""Home directory inside a sandbox."""

_PREFIXES = ("PIP_", "UV_", "NPM_CONFIG_", "npm_config_")
_SUFFIXES = ("_PROXY", "_proxy")
_FILES_OF_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_CERTIFICATES = (*_FILES_OF_CERTIFICATES, "SSL_CERT_DIR")
# where things are installed is the build's own business, and so are paths of the user's machine
_OURS = re.compile(
    r"(?i)PIP_(TARGET|PREFIX|ROOT|USER|PYTHON|LOG|REQUIRE_VIRTUALENV|CACHE_DIR|SRC|REPORT)"
    r"|UV_(PROJECT_ENVIRONMENT|PYTHON.*|TOOL_.*|CACHE_DIR|WORKING_DIR.*|PROJECT|INSTALL_.*|ENV_FILE|LINK_MODE)"
    r"|NPM_CONFIG_(PREFIX|CACHE|GLOBALCONFIG|LOGS_DIR|LOCAL_PREFIX|NODE_GYP|INIT_.*)"
)
_LOCATIONS = ("find-links", "index-url", "extra-index-url", "index", "default-index", "cert", "client-cert", "cafile")
# uv may name an index: `corporate=file:///srv/simple`
_PATH = re.compile(r"(?:[\w-]+=)?(?:file:(?://(?:localhost)?)?)?(/[^/].*)")
# path below the user's home → path inside
_USER_FILES = (".config/pip/pip.conf", ".pip/pip.conf", ".npmrc", ".config/uv/uv.toml")
_SYSTEM_FILES = ("/etc/pip.conf", "/etc/uv/uv.toml")
_NAMED_FILES = ("PIP_CONFIG_FILE", "UV_CONFIG_FILE", "NPM_CONFIG_USERCONFIG", "npm_config_userconfig")


class Registry(Struct, frozen=True, kw_only=True):
    """Settings as a sandbox takes them. May hold credentials: not to be shown."""

    environment: dict[str, str]
    files: dict[str, bytes]
    mounts: tuple[Mount, ...]


def registry(environ: Mapping[str, str], home: Path) -> Registry:
    """The settings of the user with that environment and home directory; what can't be read is left out."""
    environment = {key: value for key, value in environ.items() if _passes(key)}
    files: dict[str, bytes] = {}
    for inside, path in _setting_files(environment, home):
        if (content := _read(path)) is not None:
            files[inside] = content
    named = set(_named(environment, files))
    for path in sorted(named):
        if path.is_file() and not _in_image(path) and (content := _read(path)) is not None:
            files[str(path)] = content
    return Registry(environment=environment, files=files, mounts=tuple(_mounts(named, home)))


def _passes(key: str) -> bool:
    if _OURS.fullmatch(key):
        return False
    return key.startswith(_PREFIXES) or key.endswith(_SUFFIXES) or key in _CERTIFICATES


def _setting_files(environment: Mapping[str, str], home: Path) -> Iterator[tuple[str, Path]]:
    for name in _USER_FILES:
        yield f"{HOME}/{name}", home / name
    for name in _SYSTEM_FILES:
        yield name, Path(name)
    for key in _NAMED_FILES:
        path = environment.get(key, "")
        if path.startswith("/") and path != os.devnull:
            yield path, Path(path)


def _named(environment: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[Path]:
    """Paths of this machine that a setting names: directories of packages, certificates."""
    values = [value for key, value in environment.items() if key in _CERTIFICATES or _is_location(key)]
    for inside, content in files.items():
        text = content.decode("utf-8", "replace")
        values += _toml_values(text) if inside.endswith(".toml") else _ini_values(text)
    for token in (token for value in values for token in re.split(r"[\s,]+", value)):
        if match := _PATH.fullmatch(token.strip("'\"")):
            yield Path(os.path.normpath(unquote(match[1])))


def _is_location(key: str) -> bool:
    name = key.partition("_")[2].lower().removeprefix("config_").replace("_", "-")
    return name in _LOCATIONS


def _ini_values(text: str) -> list[str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        # .npmrc has no sections
        parser.read_string(text if text.lstrip().startswith("[") else f"[npm]\n{text}")
    except configparser.Error:
        return []
    return [
        value
        for section in parser.sections()
        for key, value in parser.items(section)
        if key.replace("_", "-") in _LOCATIONS and value
    ]


def _toml_values(text: str) -> list[str]:
    def walk(value: Any, wanted: bool) -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, wanted or key in _LOCATIONS)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner, wanted)
        elif isinstance(value, str) and wanted:
            yield value

    try:
        return list(walk(tomllib.loads(text), False))
    except tomllib.TOMLDecodeError:
        return []


def _mounts(named: set[Path], home: Path) -> Iterator[Mount]:
    found: set[Path] = set()
    for path in named:
        # the pages of a `simple` index link to files beside it
        wanted = path.parent if path.name == "simple" else path
        if wanted == Path("/") or home.is_relative_to(wanted):
            wanted = path
        if wanted.is_dir() and not _in_image(wanted) and not home.is_relative_to(wanted):
            found.add(wanted)
    for path in sorted(found):
        if not any(path != other and path.is_relative_to(other) for other in found):
            yield Mount(kind="read_only", source=path, target=str(path))


def _in_image(path: Path) -> bool:
    """True for what every sandbox has already."""
    return path.is_relative_to("/usr") or path.is_relative_to("/etc/ssl")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError:
        return None
