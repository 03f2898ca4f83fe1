"""Slugs, config snapshots and releases: what is built, kept and deployed."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from homeport.model.platform import Resolved

LayerKind = Literal["dependencies", "source"]


class Layer(Struct, frozen=True, kw_only=True):
    """One content-addressed archive. Stored as `<app>/layers/<sha256>.tar.zst`; sha256 is that of the stored bytes."""

    sha256: str
    kind: LayerKind
    size_bytes: int
    mounts: tuple[str, ...] = ()
    """dependencies: top-level paths under /app that it provides (`.venv`), bound read-only. source: empty."""
    content: str = ""
    """Digest of what an app can find in it: without times, and without the files that are Homeport's to read. Empty:
    not known."""


class Slug(Struct, frozen=True, kw_only=True):
    """The built code. `layers`: dependencies first, if any, then source."""

    layers: tuple[Layer, ...]
    image: str
    """Identity of what it was built on: OS, libc, interpreter versions."""
    commit: str
    dirty: bool = False
    subject: str = ""
    platform_file: str = ""
    """sha256 of the homeport.toml it was built with."""
    path: tuple[str, ...] = ()
    """Directories that go before PATH when it runs, such as /app/.venv/bin."""


class ConfigValue(Struct, frozen=True, kw_only=True):
    """One value of a config snapshot. `text` is the clear text, or for a secret the age ciphertext in base64."""

    text: str
    secret: bool = False
    layer: str = ""
    """Which layer gave it: `config/common`, `config set #3`, …"""


class Snapshot(Struct, frozen=True, kw_only=True):
    """The environment's variables as one release has them: for every group, all of them. Stored by digest."""

    groups: dict[str, dict[str, ConfigValue]]


class Release(Struct, frozen=True, kw_only=True):
    """slug + config snapshot + resolved platform file; numbered per app and environment, immutable."""

    app: str
    environment: str
    number: int
    slug: Slug
    config: str
    """sha256 of the snapshot in `<app>/<environment>/env/`."""
    resolved: Resolved
    created_at: datetime
    created_by: str
    why: str
    """`deploy`, `config`, `rollback to r5`, …"""
    origin: int
    """Number of the release whose slug and formation this one carries: itself, or what a rollback went back to."""
    run_release_task: bool = True

    @property
    def id(self) -> str:
        return f"r{self.number}"
